"""What `mpn adapt` says for a person."""

from __future__ import annotations

from collections.abc import Sequence

from mpn.adaptation.before_after import HeldOutMetrics
from mpn.adaptation.camera_report import Report
from mpn.adaptation.footage import Without
from mpn.adaptation.made_motion import PIECE_SECONDS
from mpn.io.text import align, clock, percent, plural
from mpn.model.checkpoint import Checkpoint
from mpn.scoring.parts import LABELS
from mpn.scoring.reasons import sentence

ENOUGH = 30.0  # seconds of normal footage: of less it is said
SEEN = 0.5  # share of what is made that is found, below which it is said what helps


def lessons_text(checkpoint: Checkpoint) -> str:
    """Say what a camera file that is made anew still knows, "" for nothing.

    Args:
        checkpoint: that was written.
    """
    taught = checkpoint.taught
    return f"; {plural(len(taught), 'event')} it was taught kept" if taught else ""


def report_text(report: Report, seconds: float) -> str:
    """Say what was done, and before and after, for a person.

    Args:
        report: of the adaptation.
        seconds: that it took in all.
    """
    used = report.options
    rate_note = {
        "footage": "",
        "model": " (as the model's training footage; --fps says otherwise)",
        "assumed": " (a usual rate; --fps says otherwise)",
    }[report.fps_from]
    windows = plural(len(report.windows), "window") if report.windows else "all of it"
    if report.without and not report.windows:
        windows = "the rest of it"
    if used["method"] == "adam" and not report.windows:
        windows = f"three quarters of {windows}"
    how = f"adapted by {used['method']} on {windows}"
    how += f" in {used['steps']} steps" * bool(used["steps"])
    lines = [
        f"{report.source}: {sum(report.frames)} frames at {report.fps:g} frames/s{rate_note}",
        f"{how}; {seconds:.1f} s in all",
    ]
    if report.without:
        lines.insert(1, f"left out as asked: frames {_frames(report.without)}")
    length = report.learnable / report.fps
    if length < ENOUGH:
        lines.append(
            f"{length:.1f} s are too little to know what is usual here: half a minute or more of "
            "normal footage is wanted, and the threshold is a guess"
        )
    if report.windows:
        several = len(report.clips) > 1
        ends = ", ".join(
            f"{report.clips[clip]}:{frame}" if several else str(frame)
            for clip, frame in report.windows
        )
        lines.append(f"windows end at frames {ends}")
    return "\n".join(lines + _table(report) + made_anomaly_lines(report) + _moments(report))


def _table(report: Report) -> list[str]:
    before, after, seconds = report.before, report.after, report.hours * 3600
    rows = []
    if report.options["method"] != "place":  # else the network is as it was
        decibels = (f"{side.psnr_db:.2f}" for side in (before, after))
        rows.append(("prediction error, PSNR in dB", *decibels))
    if before.loss is not None and after.loss is not None:
        rows.append(("loss of the adaptation", f"{before.loss:.5f}", f"{after.loss:.5f}"))
    rate = report.options["false_alarms_per_hour"]
    title = f"threshold, {plural(rate, 'false alarm', 'g')} an hour"
    titles = (title, "false alarms per hour (seen)", "time above the threshold")
    rows += zip(titles, _alarms(before, report.hours), _alarms(after, report.hours))
    apart = report.windows or report.options["method"] != "place"
    on = "that it was not adapted on" if apart else "each judged by the others"
    lines = [f"on {report.held_out} frames ({seconds:.1f} s) {on}:"]
    compared = before.threshold is not None or before.loss is not None
    if compared:
        table = align([("", "before", "after"), *rows], (38, 16, 16), gap="")
    else:  # the network was not asked: there is nothing before
        table = align([(title, then) for title, _, then in rows], (38, 16), gap="")
    lines += [f"  {line}" for line in table]
    lines.append(
        f"  (alarms{' after' * compared}: in one half of these frames, at the threshold of the "
        "other half, both ways)"
    )
    if before.extrapolated or after.extrapolated:
        lines.append(
            "  (*: extrapolated, the footage is too short to show so low a rate; a rough guide)"
        )
    return lines


def made_anomaly_lines(report: Report) -> list[str]:
    """Say what would be found of anomalies made of what moves here, or why that is not known.

    Args:
        report: of the adaptation.
    """
    if not report.made:
        if report.options["method"] != "place" and report.windows:
            return ["what would be found is not tried out with so few windows: leave --shots out"]
        return [
            "what would be found is not known: that is tried out on what moves, and too little of "
            "it does for long enough"
        ]
    first = report.made[0]
    rows = [("", *(anomaly.kind for anomaly in report.made))]
    if first.found is not None:
        shares = (
            percent((anomaly.found or 0) / anomaly.pieces, unit=True) for anomaly in report.made
        )
        rows.append(("found at that threshold", *shares))
    for name in first.auc:
        titles = {"score": "told from normal frames, AUC", **LABELS}
        rows.append((titles[name], *(f"{100 * anomaly.auc[name]:.1f}" for anomaly in report.made)))
    table = align(rows, (36, 15, 15, 11), gap="")
    lines = [
        f"what moves here, altered for up to {PIECE_SECONDS:g} s, {first.pieces} times each:",
        *(f"  {line}" for line in table),
    ]
    if first.found is not None and all(
        (anomaly.found or 0) < SEEN * anomaly.pieces for anomaly in report.made
    ):
        lines.append(
            "at that threshold most of it would be missed: more minutes of normal footage lower "
            "it, and so does a higher --false-alarms-per-hour"
        )
    return lines


def _alarms(side: HeldOutMetrics, hours: float) -> tuple[str, str, str]:
    if side.threshold is None or side.false_alarms is None or side.above is None:
        return "-", "-", "-"
    alarms = f"{side.false_alarms / hours:.1f} ({side.false_alarms})"
    return (
        f"{side.threshold:.2f}{'*' * bool(side.extrapolated)}",
        alarms,
        percent(side.above, unit=True),
    )


def _moments(report: Report) -> list[str]:
    """Show what is strangest in the footage: its owner knows whether that is normal."""
    if not report.moments:
        return []
    lines = ["strangest of this footage; look at it, and leave out what is not normal there:"]
    several = len(report.clips) > 1
    for moment in report.moments:
        frames = Without(
            moment.start, moment.stop - 1, report.clips[moment.clip] if several else None
        )
        recording = f"{report.clips[moment.clip]}, " * several
        # With what was left out this time, which the next time would be normal again.
        lines.append(
            f"  {recording}{clock(moment.frame / report.fps)} (frame {moment.frame}), score "
            f"{moment.score:.2f}: --without {_frames([*report.without, frames])}"
        )
        if moment.reason is not None:
            lines.append(f"    {sentence(moment.reason)}")
    return lines


def _frames(without: Sequence[Without]) -> str:
    return ",".join(map(str, without))
