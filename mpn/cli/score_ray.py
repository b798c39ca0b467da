"""`mpn score --ray`: the workers of a Ray cluster do it, this process adds up and prints."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from tqdm import tqdm

from mpn.cli import fit
from mpn.cli.score_hands import Glanced
from mpn.cli.score_options import job_options
from mpn.cli.score_text import Entry, Teller
from mpn.errors import DataError
from mpn.io.text import plural
from mpn.jobs import JobOptions
from mpn.jobs.by_itself import OwnCamera, camera_of
from mpn.jobs.first_pass import Recording, add_up
from mpn.model.checkpoint import Checkpoint
from mpn.scale import work
from mpn.scale.cluster import LOCAL, Cluster, connected
from mpn.scale.work import Answer, Common, Item, Learned, Model, Step
from mpn.scoring.detector import Detector

# What the checkpoint of a camera has otherwise than the model that it began with.
OF_CAMERA = ("fps", "score_config", "normal", "places", "sha256", "camera")


@contextmanager
def workers(detector: Detector, options: argparse.Namespace) -> Iterator[Workers]:
    """Start or find the workers of --ray, for a `with` block.

    Args:
        detector: the model.
        options: of the verb.

    Raises:
        MpnError: see `mpn.scale.cluster.connected`.
    """
    gpu = not options.device.startswith("cpu")
    if options.ray == LOCAL:
        tqdm.write(
            "starting Ray, and then its workers: half a minute, on a busy machine minutes",
            file=sys.stderr,
        )
    with connected(options.ray, gpu=gpu, threads=options.threads or 1) as cluster:
        where = "this machine" if options.ray == LOCAL else f"the cluster at {options.ray}"
        tqdm.write(f"{plural(cluster.places, 'worker')} on {where}", file=sys.stderr)
        yield Workers(cluster, detector, options)


class Workers:
    """The workers of a cluster, a source each at a time; see `mpn.cli.score_hands.Hands`.

    Args:
        cluster: that they belong to.
        detector: the model.
        options: of the verb.
    """

    def __init__(self, cluster: Cluster, detector: Detector, options: argparse.Namespace) -> None:
        self._cluster, self._detector, self._options = cluster, detector, options

    def score(self, entries: Sequence[Entry]) -> None:
        """See `Hands`."""
        settings = job_options(self._options, self._detector.checkpoint, by_itself=False)
        self._score(entries, [_item(entry) for entry in entries], self._common(settings))

    def look(self, entries: Sequence[Entry]) -> list[Glanced]:
        """See `Hands`."""
        settings = job_options(self._options, self._detector.checkpoint, by_itself=True)
        items, glances = [_item(entry) for entry in entries], {}
        for number, answer in self._each("opened", work.look, self._common(settings), items):
            if not self._is_left_out(entries[number], answer):
                glances[number] = answer.value
        return [
            Glanced(entries[number], _recording(items[number], settled), settled, glance)
            for number, (settled, glance) in sorted(glances.items())
        ]

    def learn(self, glanced: Sequence[Glanced], name: str, apart: float | None) -> OwnCamera:
        """See `Hands`."""
        recordings = [source.recording for source in glanced]
        stamps = [source.glance.stamp for source in glanced]
        items = [_glanced_item(source) for source in glanced]
        common = self._common(JobOptions(), len(glanced))
        self._for_every_recording("first pass", work.survey, common, items)
        seen = add_up(recordings, stamps, apart)
        self._for_every_recording("what is usual", work.judge, replace(common, seen=seen), items)
        return camera_of(self._detector, recordings, stamps, seen, name)

    def score_by_camera(self, glanced: Sequence[Glanced], camera: OwnCamera, moments: int) -> None:
        """See `Hands`."""
        settings = job_options(self._options, camera.checkpoint, by_itself=True)
        learned = Learned(_camera_fields(camera.checkpoint), camera.seen, moments)
        common = replace(self._common(settings), learned=learned)
        entries = [source.entry for source in glanced]
        self._score(entries, [_glanced_item(source) for source in glanced], common)

    def _score(self, entries: Sequence[Entry], items: Sequence[Item], common: Common) -> None:
        for number, answer in self._each("sources", work.score, common, items):
            entry = entries[number]
            if self._is_left_out(entry, answer):
                continue
            entry.outcome = answer.value
            by_itself, as_json = common.learned is not None, self._options.json
            teller = Teller(entry, by_itself=by_itself, as_json=as_json)
            for event in answer.events:
                teller.event(event)
            teller.outcome(answer.value)

    def _for_every_recording(
        self, title: str, step: Step, common: Common, items: Sequence[Item]
    ) -> None:
        """Take a step that every recording of a camera is needed for."""
        for _, answer in self._each(title, step, common, items):
            if answer.reason:
                raise DataError(answer.reason)

    def _each(
        self, title: str, step: Step, common: Common, items: Sequence[Item]
    ) -> Iterator[tuple[int, Answer]]:
        answers = self._cluster.each(step, common, items)
        with (
            closing(answers),
            tqdm(total=len(items), desc=title, unit="source", disable=None) as bar,
        ):
            for number, answer in answers:
                for line in answer.said:
                    tqdm.write(fit(line), file=sys.stderr)
                yield number, answer
                bar.update()

    def _is_left_out(self, entry: Entry, answer: Answer) -> bool:
        entry.reason = answer.reason
        if self._options.strict and answer.reason:
            raise DataError(answer.reason)
        return bool(answer.reason)

    def _common(self, settings: JobOptions, count: int = 1) -> Common:
        options = self._options
        return Common(
            threads=options.threads or 1,
            options=settings,
            model=_model(self._detector, options),
            camera_file=options.save.absolute() if options.save else None,
            inside=tuple(options.inside),
            count=count,
        )


def _model(detector: Detector, options: argparse.Namespace) -> Model:
    checkpoint = detector.checkpoint
    assert checkpoint.path is not None
    return Model(
        path=checkpoint.path.absolute(),
        sha256=checkpoint.sha256,
        score_config=detector.score_config.to_dict(),
        device=options.device,
        precision="bfloat16" if detector.bfloat16 else "float32",
        engine=options.engine,
        network_every=options.network_every,
        batch_size=options.batch_size,
        compiled=options.compile,
    )


def _camera_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: getattr(checkpoint, name) for name in OF_CAMERA} | {"path": None}


# Workers have another current folder.
def _item(entry: Entry) -> Item:
    return Item(entry.path.absolute(), entry.folder.absolute())


def _glanced_item(source: Glanced) -> Item:
    return replace(_item(source.entry), options=source.options, stamp=source.glance.stamp)


def _recording(item: Item, settled: JobOptions) -> Recording:
    return Recording(item.path, item.folder, partial(settled.open, item.path))
