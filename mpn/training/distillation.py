"""Distillation: a trained network, the teacher, teaches another one on the same windows.

Three things can be taught, each with a weight of its own (Hinton et al. 2015): the frame that the
teacher predicts; its features, by how alike every two places of the picture are to it (Tung and
Mori, ICCV 2019), which needs no two networks of one width; and the maps that scores are made of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mpn.errors import TrainingError
from mpn.model.checkpoint import Checkpoint
from mpn.model.config import ModelConfig
from mpn.model.output import Output
from mpn.scoring.parts import PARTS, PSEUDO, ScorePart, ScoringBatch

# What is taught, and how much it weighs where nothing else is said: a map of the pseudo-anomaly
# head differs by more than a frame does, and would be all that is learned.
TEACHER_WEIGHTS = {"frame": 1.0, "features": 0.0, "maps": 0.1}
# Places that features are compared at: (rows, columns), means of the features around.
PLACES = (8, 12)


def frame_term(student: Output, teacher: Output) -> Tensor:
    """Compute the mean squared difference of the predicted frames, in [-1, 1].

    Args:
        student: its forward of B windows.
        teacher: the teacher's; its frames are brought to the student's size.
    """
    size = student.prediction.shape[2:]
    return F.mse_loss(student.prediction.float(), _resized(teacher.prediction.float(), size))


def features_term(student: Output, teacher: Output) -> Tensor:
    """Compute how differently alike places are to student and teacher.

    The mean squared difference of the cosines between the features of every two of the same
    `PLACES` of a window.

    Args:
        student: its forward of B windows.
        teacher: the teacher's.
    """
    grids = (student.features.shape[2:], teacher.features.shape[2:])
    rows, columns = (min(most, *sides) for most, *sides in zip(PLACES, *grids))
    return F.mse_loss(_likeness(student, rows, columns), _likeness(teacher, rows, columns))


def _likeness(output: Output, rows: int, columns: int) -> Tensor:
    """Compute the cosines between the mean queries of places, (B, places, places)."""
    places = F.adaptive_avg_pool2d(output.query.float(), (rows, columns)).flatten(2)
    unit = F.normalize(places, dim=1)
    return unit.transpose(1, 2) @ unit


def maps_term(
    student: Output, teacher: Output, target: Tensor, parts: tuple[ScorePart, ...]
) -> Tensor:
    """Compute the mean squared difference of the maps that a score is made of, mean of its parts.

    Args:
        student: its forward of B windows.
        teacher: the teacher's; its maps are brought to the size of the student's.
        target: the true next frames, (B, C, H, W) in [-1, 1].
        parts: whose maps; both networks have what they need.
    """
    teacher_target = _resized(target, teacher.prediction.shape[2:])
    pairs = [(_map(part, student, target), _map(part, teacher, teacher_target)) for part in parts]
    differences = [
        F.mse_loss(student_map, _resized(teacher_map, student_map.shape[2:]))
        for student_map, teacher_map in pairs
    ]
    return torch.stack(differences).mean()


def _map(part: ScorePart, output: Output, target: Tensor) -> Tensor:
    """Make a part's map as scoring does, (B, 1, h, w)."""
    batch = ScoringBatch(frames=np.empty(0, np.uint8), target=target, output=output)
    return part.map_of(batch).unsqueeze(1)


def _resized(pictures: Tensor, size: Sequence[int]) -> Tensor:
    """Bring (B, C, h, w) to another size: means where it is smaller, between pixels where not."""
    size = (size[0], size[1])
    if pictures.shape[2:] == size:
        return pictures
    if pictures.shape[2] >= size[0] and pictures.shape[3] >= size[1]:
        return F.adaptive_avg_pool2d(pictures, size)
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)


class Teacher:
    """A trained network, as it was read and for looking at only, beside one that learns from it.

    Args:
        checkpoint: of the teacher; its network is put into evaluation mode, and gets no gradients.
        student: the preset of the network that learns. The frame size may be another than the
            teacher's, which is then shown the student's frames resized.
        weights: how much of `TEACHER_WEIGHTS` weighs how much; 0 where one is not named.

    Attributes:
        weights: of the terms by the names that logs have, of those above 0.

    Raises:
        TrainingError: unknown, negative or no weights; frames or windows of another kind than the
            student's.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        student: ModelConfig,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        teacher_weights = dict(TEACHER_WEIGHTS if weights is None else weights)
        check_teacher_weights(teacher_weights)
        _check_alike(checkpoint, student)
        self.given, self.sha256 = teacher_weights, checkpoint.sha256
        self.weights = {f"teacher_{name}": float(w) for name, w in teacher_weights.items() if w > 0}
        self.network = checkpoint.network.eval().requires_grad_(False)
        self.parts = tuple(
            part
            for part in PARTS
            if not part.needs_place
            and part.available(self.network)
            and (part is not PSEUDO or student.pseudo_head)
        )

    def to(self, device: torch.device) -> Teacher:
        """Move the network to a device, in the layout that convolutions are quick in.

        Args:
            device: of the student.
        """
        network = self.network.to(device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore
        return self

    def fingerprint(self) -> dict[str, Any]:
        """Give what a resumed run must have the same: the file's checksum, and the weights."""
        return {"sha256": self.sha256, "weights": self.given}

    @torch.no_grad()
    def look(self, window: Tensor) -> Output:
        """Run the teacher on the student's windows, resized where its frames have another size.

        Args:
            window: (B, T * C, H, W) in [-1, 1].
        """
        fitted = _resized(window, self.network.config.size)
        return self.network(fitted.contiguous(memory_format=torch.channels_last))

    def terms(self, window: Tensor, target: Tensor, student: Output) -> dict[str, Tensor]:
        """Compute the terms that have a weight, by name, as unweighted scalars.

        Args:
            window: that the student has seen.
            target: the true next frames, (B, C, H, W) in [-1, 1].
            student: its forward.
        """
        teacher = self.look(window)
        terms: dict[str, Tensor] = {}
        for name in self.weights:
            if name == "teacher_frame":
                terms[name] = frame_term(student, teacher)
            elif name == "teacher_features":
                terms[name] = features_term(student, teacher)
            else:
                terms[name] = maps_term(student, teacher, target, self.parts)
        return terms


def check_teacher_weights(weights: Mapping[str, float]) -> None:
    """Raise TrainingError for an unknown name, or no weight above 0, or one that is no such number.

    Args:
        weights: by name.
    """
    unknown = sorted(set(weights) - set(TEACHER_WEIGHTS))
    if unknown:
        raise TrainingError(
            f"a teacher has no {unknown[0]!r}; weights are of {', '.join(TEACHER_WEIGHTS)}"
        )
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise TrainingError(
                f"teacher weight {name} is {weight!r}: a number from 0 up was expected"
            )
    if not any(weights.values()):
        raise TrainingError("all weights of the teacher are 0: give one above, or no teacher")


def _check_alike(checkpoint: Checkpoint, student: ModelConfig) -> None:
    """Raise TrainingError where teacher and student do not see the same kind of windows."""
    teacher = checkpoint.config
    if teacher.window != student.window:
        raise TrainingError(
            f"the teacher {checkpoint.path or ''} sees windows of {teacher.window} frames, the "
            f"student of {student.window}: take another teacher"
        )
    if teacher.grey != student.grey:
        kinds = {True: "grey", False: "bgr"}
        raise TrainingError(
            f"the teacher {checkpoint.path or ''} sees {kinds[teacher.grey]} frames, the student "
            f"{kinds[student.grey]} ones: train with --colour {kinds[teacher.grey]}"
        )
