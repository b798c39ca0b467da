"""What a camera was taught: embeddings of events that are normal there, or that have a name.

What an embedding is, and how embeddings are compared: `mpn.scoring.embedding`,
`mpn.scoring.memory`. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_TAUGHT, MAX_EXAMPLES = 100, 8  # events of a camera, examples of an event
LONGEST_NAME = 40  # letters


@dataclass(frozen=True)
class Taught:
    """An event that a camera was taught.

    Attributes:
        name: what the event shows; None for something that is normal there.
        source: name of the recording.
        frame: of its peak, in the recording.
        embeddings: float32 (examples, numbers), see `mpn.scoring.embedding`; kept in float16.
    """

    name: str | None
    source: str
    frame: int
    embeddings: np.ndarray


def checked_name(name: str) -> str:
    """Check what something may be called, and return it without spaces around it.

    Args:
        name: of a kind of event.

    Raises:
        ValueError: it is empty, too long, a number, "normal", or has letters that do not print.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(
            f"{name[:LONGEST_NAME]!r}: a name has 1 to {LONGEST_NAME} letters on one line"
        )
    if name.lstrip("#").isdigit() or name.lower() == "normal":
        raise ValueError(f'{name!r} is no name: numbers and "normal" have a meaning of their own')
    return name
