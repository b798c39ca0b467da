"""The version, on the ground floor: checkpoints and results name it, the package hands it on."""

__version__ = "0.1.0"
