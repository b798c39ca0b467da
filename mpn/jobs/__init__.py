"""Scoring as a job: a source in, a folder of results out that grows as it goes and can be gone on
with (`job`).

    state, files     where a job stands; the files that it writes
    score_table      scores.csv
    event_clips      overlay videos of everything, or of every event
"""

from __future__ import annotations

from mpn.jobs.job import OVERLAYS, JobOptions, Outcome, ScoreJob, score_source
from mpn.jobs.state import belongs_to

__all__ = ["OVERLAYS", "JobOptions", "Outcome", "ScoreJob", "belongs_to", "score_source"]
