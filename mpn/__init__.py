"""mpn: video anomaly detection with the Meta Prototype Network."""

from __future__ import annotations

__version__ = "0.1.0"
