"""mpn: video anomaly detection with the Meta Prototype Network.

    import mpn
    detector = mpn.load("demo")
    for result in detector.score("video.mp4"):
        print(result.frame, result.score)

Names are imported when they are first used (PEP 562): `import mpn.metrics` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mpn.version import __version__ as __version__

if TYPE_CHECKING:
    from mpn import errors, metrics
    from mpn.api import Detector, forget, load, teach, teach_from
    from mpn.model.config import CONFIGS, ModelConfig, get_config
    from mpn.model.network import Network, build_model
    from mpn.scoring.result import Result

__all__ = [
    "CONFIGS",
    "Detector",
    "Network",
    "ModelConfig",
    "Result",
    "build_model",
    "errors",
    "forget",
    "get_config",
    "load",
    "metrics",
    "teach",
    "teach_from",
]

_HOME = {
    "Detector": "mpn.api",
    "forget": "mpn.api",
    "load": "mpn.api",
    "teach": "mpn.api",
    "teach_from": "mpn.api",
    "CONFIGS": "mpn.model.config",
    "ModelConfig": "mpn.model.config",
    "get_config": "mpn.model.config",
    "Network": "mpn.model.network",
    "build_model": "mpn.model.network",
    "Result": "mpn.scoring.result",
}


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it, once."""
    if name in ("errors", "metrics"):
        return importlib.import_module(f"mpn.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'mpn' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({"__version__", *__all__})
