"""mpn: video anomaly detection with the Meta Prototype Network.

import mpn
detector = mpn.load("checkpoints/demo.safetensors")
for result in detector.score("video.mp4"):
    print(result.frame, result.score)
"""

from __future__ import annotations

__version__ = "0.1.0"

from mpn import metrics
from mpn.detector import Detector, Result, load
from mpn.network import Network, build_model
from mpn.presets import PRESETS, Preset, preset

__all__ = [
    "PRESETS",
    "Detector",
    "Network",
    "Preset",
    "Result",
    "build_model",
    "load",
    "metrics",
    "preset",
]
