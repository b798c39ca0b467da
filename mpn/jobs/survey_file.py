"""Surveys in files, so that a first pass that was stopped is gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from mpn.errors import MpnError
from mpn.io.atomic import write_atomically
from mpn.jobs.survey import Run, Survey, SurveyPlan
from mpn.model.file_format import open_tensors
from mpn.model.place_file import pack_places, unpack_places
from mpn.motion.timeline import PlaceTimeline

SURVEY = "survey.safetensors"
DOCUMENT = "survey"
VERSION = 2


def write_survey(path: Path, survey: Survey, identity: Mapping[str, Any]) -> None:
    """Write what a first pass has seen so far, whole or not at all.

    Args:
        path: of the file.
        survey: what was seen.
        identity: what has to agree for it to be gone on with; plain JSON values.
    """
    tensors: dict[str, Tensor] = {}
    blocks = {str(number): place for number, place in enumerate(survey.timeline.blocks)}
    document = {
        "version": VERSION,
        "identity": dict(identity),
        "plan": asdict(survey.plan),
        "grid": list(survey.timeline.grid),
        **pack_places(tensors, blocks),
        "frames": survey.frames,
        "complete": survey.complete,
        "runs": [run.first for run in survey.runs],
        "judged": None if survey.judged is None else len(survey.judged),
        "judged_by": survey.judged_by,
    }
    for number, run in enumerate(survey.runs):
        tensors[f"run.{number}.motion"] = torch.from_numpy(run.motion)
    for number, values in enumerate(survey.judged or []):
        _store_arrays(tensors, f"judged.{number}.", values)
    write_atomically(path, save(tensors, metadata={DOCUMENT: json.dumps(document)}))


def read_survey(path: Path, identity: Mapping[str, Any]) -> Survey | None:
    """Read what an earlier first pass over the same recording has seen.

    Args:
        path: of the file.
        identity: see `write_survey`, as JSON gives it back.

    Returns:
        None where there is no such file, it is of another recording or cannot be read.
    """
    try:
        with open_tensors(path) as file:
            document = json.loads((file.metadata() or {})[DOCUMENT])
            if document["version"] != VERSION or document["identity"] != dict(identity):
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return _survey(path, document, tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError, MpnError):
        return None


def _survey(path: Path, document: Mapping[str, Any], tensors: dict[str, Tensor]) -> Survey:
    plan = SurveyPlan(**document["plan"])
    rows, columns = document["grid"]
    timeline = PlaceTimeline((rows, columns), plan.block)
    timeline.blocks = list(unpack_places(path, tensors, document.get("places")).values())
    runs = [
        Run(first, tensors[f"run.{number}.motion"].numpy())
        for number, first in enumerate(document["runs"])
    ]
    count = document["judged"]
    judged = None if count is None else [_arrays_of(tensors, f"judged.{i}.") for i in range(count)]
    end = document["frames"], document["complete"]
    return Survey(plan, timeline, runs, *end, judged, str(document.get("judged_by", "")))


def _store_arrays(
    tensors: dict[str, Tensor], prefix: str, values: Mapping[str, np.ndarray]
) -> None:
    for name, array in values.items():
        tensors[prefix + name] = torch.from_numpy(array.astype(np.float32))


def _arrays_of(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): tensor.numpy()
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
