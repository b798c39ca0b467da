"""Scoring as a job: a source becomes a folder of results that grows, and can be gone on with."""

from __future__ import annotations

from mpn.jobs.job import Outcome, ScoreJob
from mpn.jobs.options import OVERLAYS, JobOptions
from mpn.jobs.state import belongs_to

__all__ = ["OVERLAYS", "JobOptions", "Outcome", "ScoreJob", "belongs_to"]
