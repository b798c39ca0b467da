"""What can go wrong, by the thing that failed.

Every message says what was found, where, what was expected and what to do, in one line. The command
line prints it and exits with code 1; nothing else in mpn exits.
"""

from __future__ import annotations


class MpnError(Exception):
    """The input or the run failed; `str(error)` is one line for the user."""


class BusyError(MpnError):
    """Another program writes into a folder."""


class DataError(MpnError):
    """A folder, a video or a data set is not what was expected."""


class FrameError(DataError):
    """A frame or a video file cannot be read, or does not fit the others."""


class LabelError(DataError):
    """Labels cannot be read or don't fit the frames."""


class CheckpointError(MpnError):
    """A model file or training state cannot be read or written, or is of another kind."""


class TrainingError(MpnError):
    """Training cannot start or go on."""


class AdaptationError(MpnError):
    """Adapting to a camera has made the model worse, or was about to on too little."""


class SizeError(MpnError):
    """A frame size that the network's strides don't divide, or a clip too short for a window."""
