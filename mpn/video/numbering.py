"""Which pictures of a folder are its frames, in which order, and which are missing.

Frames are one numbered series (000.jpg, 001.jpg, ... or every fifth number; 00a.jpg too), or named
by the clock (20230101120030.jpg, cam_2023-01-01_12-00-30.jpg, 120030.jpg), or anything else, taken
as it comes.
Of a series what is missing between two numbers is known; a clock may pause, and nothing is missing
there.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

from mpn.errors import FrameError

# A date and a time in a name, with or without separators; thousandths right behind it or after a
# point; behind another separator a number within the second.
DATE_AND_TIME = re.compile(
    r"(?<!\d)(\d{4})\D?(\d\d)\D?(\d\d)\D{0,3}(\d\d)\D?(\d\d)\D?(\d\d)"
    r"(?:[.,]?(\d{3}|\d{6}))?(?:\D+(\d+))?\D*$",
)
TIME_OF_DAY = re.compile(r"(?<!\d)(\d\d)\D(\d\d)\D(\d\d)\D*$")
# By their digits, numbers that a clock or a count may have made: a clock's, where fewer frames are
# missing so. A letter is a digit of year, month, day, hour, minute, second or a part of it.
MAYBE_CLOCK = {
    4: ("hhmm",),
    6: ("hhmmss", "yyMMDD"),
    8: ("YYYYMMDD", "hhmmssff"),
    9: ("hhmmssfff",),
    12: ("YYYYMMDDhhmm", "yyMMDDhhmmss"),
}
YEARS = range(1970, 2100)
NO_DATE = 1970  # the year of a time of day
DAY = timedelta(days=1)
# Fewer are no series that a picture could stand outside of.
MIN_SERIES = 3
# Of a series' length, what another way of naming may make up and still be strays.
STRAY_SHARE = 0.1


@dataclass
class PictureSeries:
    """The frames of a folder.

    Attributes:
        entries: (name, file) per frame, with (name, None) where the numbering leaves one out.
        strays: pictures that are not of the series.
        rate: frames/s by the names, where a clock gave them at equal intervals; else None.
        notes: what is odd about the names, a line each.
    """

    entries: list[tuple[str, Path | None]]
    strays: list[Path] = field(default_factory=list)
    rate: Fraction | None = None
    notes: list[str] = field(default_factory=list)


def picture_series(folder: Path, files: Sequence[Path]) -> PictureSeries:
    """Find the one series that the pictures of a folder make up.

    Args:
        folder: for error messages.
        files: its pictures in natural order.

    Raises:
        FrameError: two files of the series have one number, or more frames are missing than there
            are.
    """
    main = _main_series(files, _skeleton)
    if main and (moments := _dated(main)):
        return _by_clock(files, main, moments)
    if entries := _hexadecimal(files):
        return PictureSeries(entries)
    main = _main_series(files, _name_around_number)
    if main is None:
        return PictureSeries([(file.name, file) for file in files], notes=_several_ways(files))
    for form in MAYBE_CLOCK.get(len(_last_number(main[0])[2]), ()):
        times = _timed(main, form)
        if times and _missing(times) < _missing(_numbers(main)):
            return _by_clock(files, main, [(time, None) for time in times])
    main = _on_grid(main)
    in_series = set(main)
    strays = [file for file in files if file not in in_series]
    return PictureSeries(with_gaps(folder, main), strays, notes=_strays_note(strays, main))


# --- Which pictures belong together


def _skeleton(file: Path) -> str | None:
    """Return a name with every digit as 0: names of one clock or counter have one skeleton."""
    return re.sub(r"\d", "0", file.stem).lower() if re.search(r"\d", file.stem) else None


def _name_around_number(file: Path) -> tuple[str, str] | None:
    """Return what stands before and behind the last number of a name, None without a number."""
    if not re.search(r"\d", file.stem):
        return None
    match = _last_number(file)
    return match[1].lower(), match[3]


def _last_number(file: Path) -> re.Match[str]:
    """Match a name that has a number: what stands before its last one, that, what stands behind."""
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem, re.DOTALL)
    if match is None:
        raise ValueError(f"{file.name} has no number")
    return match


def _main_series(
    files: Sequence[Path], key: Callable[[Path], Hashable | None]
) -> list[Path] | None:
    """Return the files that are named in one way, where all but a few strays are; else None."""
    groups: dict[Hashable | None, list[Path]] = defaultdict(list)
    for file in files:
        groups[key(file)].append(file)
    unnamed = groups.pop(None, [])
    if not groups:
        return None
    largest = max(groups, key=lambda name: len(groups[name]))
    main = groups.pop(largest)
    if len(main) == len(files):
        return main
    others = max(map(len, [unnamed, *groups.values()]))
    too_many = others > _few(len(main)) or len(main) * 2 < len(files)
    return None if len(main) < MIN_SERIES or too_many else main


def _few(count: int) -> int:
    """Return how many pictures may be strays beside so many of a series."""
    return max(1, int(count * STRAY_SHARE))


def _on_grid(files: Sequence[Path]) -> list[Path]:
    """Leave out the few files whose numbers lie between the steps that the others go in."""
    numbers = _numbers(files)
    step = Counter(_steps(numbers)).most_common(1)[0][0] if len(files) > 1 else 1
    if step < 2:
        return list(files)
    usual = Counter(number % step for number in numbers).most_common(1)[0][0]
    on_grid = [file for file, number in zip(files, numbers) if number % step == usual]
    few = len(files) - len(on_grid) <= _few(len(on_grid)) and len(on_grid) >= MIN_SERIES
    return on_grid if few else list(files)


def _strays_note(strays: Sequence[Path], main: Sequence[Path]) -> list[str]:
    if not strays:
        return []
    names = ", ".join(file.name for file in strays[:3])
    more = f" and {len(strays) - 3} more" if len(strays) > 3 else ""
    return [
        f"left out: {names}{more}: not of the series {main[0].name} to {main[-1].name}, which the "
        "frames are"
    ]


def _several_ways(files: Sequence[Path]) -> list[str]:
    """Note that pictures are named in ways of which each might be a recording, or without order."""
    groups = Counter(_name_around_number(file) for file in files)
    large = [count for name, count in groups.items() if name and count >= MIN_SERIES]
    if len(files) >= MIN_SERIES and sum(1 for name in groups if name) * 2 > len(files):
        return [
            f"the names of its pictures ({files[0].name}, {files[1].name}, ...) say no order; they "
            "are taken as they are sorted; if that is not how they were recorded, number them"
        ]
    if len(large) < 2:
        return []
    return [
        f"its pictures are named in {len(large)} ways ({files[0].name}, {files[-1].name}), and are "
        "taken as one recording in the order of their names; put each recording into a folder of "
        "its own"
    ]


def _hexadecimal(files: Sequence[Path]) -> list[tuple[str, Path | None]] | None:
    """List the frames of names that differ in a hexadecimal number alone, as `with_gaps` does.

    None where they do not, or its steps are none of a count (names made of hashes).
    """
    stems = [file.stem for file in files]
    before = os.path.commonprefix(stems)
    after = os.path.commonprefix([stem[len(before) :][::-1] for stem in stems])[::-1]
    numbers = [stem[len(before) : len(stem) - len(after)] for stem in stems]
    alike = len({len(number) for number in numbers}) == 1 and len({f.suffix for f in files}) == 1
    written = "".join(numbers)
    if not alike or not re.search("[a-f]", written, re.IGNORECASE):
        return None
    if not re.fullmatch("[0-9a-f]+|[0-9A-F]+", written) or not re.search(r"\d", written):
        return None
    by_value = {int(number, 16): file for number, file in zip(numbers, files)}
    values = sorted(by_value)
    step, often = Counter(_steps(values)).most_common(1)[0] if len(values) > 1 else (1, 0)
    counted = range(values[0], values[-1] + 1, step)
    off = often * 2 <= len(values) or any(value not in counted for value in values)
    if off or len(counted) > 2 * len(files):
        return None
    letter = "X" if written.isupper() else "x"
    names = {value: f"{before}{value:0{len(numbers[0])}{letter}}{after}" for value in counted}
    return [(name + files[0].suffix, by_value.get(value)) for value, name in names.items()]


# --- Clocks


def _dated(files: Sequence[Path]) -> list[tuple[datetime, int | None]] | None:
    """Read names as date and time, and a number within the second if there is one.

    None where one is no such name, they don't rise, or all are of one moment (a recording's start,
    before a count).
    """
    moments = [_moment(file.stem) for file in files]
    parsed = [moment for moment in moments if moment]
    if len(parsed) < len(moments):
        return None
    ranked = [(time, number or 0) for time, number in parsed]
    rising = all(before < after for before, after in zip(ranked, ranked[1:]))
    # Hours and minutes that stay may be the number of a clip.
    dated = parsed[0][0].year != NO_DATE
    varied = {time if dated else (time.hour, time.minute) for time, _ in parsed}
    return parsed if rising and len(varied) > 1 else None


def _moment(stem: str) -> tuple[datetime, int | None] | None:
    """Read a name as a time, and a number within the second; None where it is none."""
    if match := DATE_AND_TIME.search(stem):
        text = "".join(match.groups("")[:6]) + (match[7] or "")
        time = _parsed(text, "YYYYMMDDhhmmssffffff")
        return time and (time, int(match[8]) if match[8] else None)
    if match := TIME_OF_DAY.search(stem):
        time = _parsed("".join(match.groups()), "hhmmss")
        return time and (time, None)
    return None


def _timed(files: Sequence[Path], form: str) -> list[datetime] | None:
    """Read the last numbers of names as times of a form; None where one is no such time."""
    times = []
    for file in files:
        digits = _last_number(file)[2]
        time = _parsed(digits, form) if len(digits) == len(form) else None
        if time is None:
            return None
        times.append(time)
    return times


def _parsed(digits: str, form: str) -> datetime | None:
    """Read digits as the form says; None where they are no time."""
    values: dict[str, str] = defaultdict(str)
    for digit, letter in zip(digits, form):
        values[letter] += digit
    year = int(values["Y"] or NO_DATE) if not values["y"] else 2000 + int(values["y"])
    month, day = int(values["M"] or "1"), int(values["D"] or "1")
    hour, minute, second = (int(values[letter] or "0") for letter in "hms")
    if year not in YEARS:
        return None
    try:
        return datetime(year, month, day, hour, minute, second, int(values["f"].ljust(6, "0")))
    except ValueError:
        return None


def _by_clock(
    files: Sequence[Path], main: Sequence[Path], moments: Sequence[tuple[datetime, int | None]]
) -> PictureSeries:
    """Make the series of pictures that are named by the clock: none is missing."""
    in_series = set(main)
    strays = [file for file in files if file not in in_series]
    times, names = [time for time, _ in moments], list(main)
    steps = _steps(times)
    if times[-1].year == NO_DATE and max(steps) > DAY / 2:  # no date, and midnight in between
        turn = steps.index(max(steps)) + 1
        names = names[turn:] + names[:turn]
        times = times[turn:] + [time + DAY for time in times[:turn]]
        steps = _steps(times)
    series = PictureSeries([(file.name, file) for file in names], strays)
    series.notes += _strays_note(strays, names)
    usual = Counter(steps).most_common(1)[0][0]
    seconds, longest = (step / timedelta(seconds=1) for step in (usual, max(steps)))
    if any(number is not None for _, number in moments):
        return series
    if set(steps) == {usual}:
        series.rate = 1 / Fraction(seconds).limit_denominator(1000)
    else:
        series.notes.append(
            f"its pictures are named by the clock, {seconds:g} s apart as a rule and up to "
            f"{longest:g} s; they are taken as if at equal intervals"
        )
    return series


# --- Counts


def _numbers(files: Sequence[Path]) -> list[int]:
    return [int(_last_number(file)[2]) for file in files]


def _steps(values: Sequence[Any]) -> list[Any]:
    return [after - before for before, after in zip(values, values[1:])]


def _missing(values: Sequence[Any]) -> float:
    """Count what is missing between numbers or times, by their most common step."""
    steps = _steps(values)
    if not steps:
        return 0
    step = Counter(steps).most_common(1)[0][0]
    return sum(abs(gap / step - 1) for gap in steps) if step else float("inf")


def with_gaps(folder: Path, files: Sequence[Path]) -> list[tuple[str, Path | None]]:
    """List (name, file) per frame, with (name, None) where the numbering leaves one out.

    Numbering may start anywhere and go in equal steps (0, 5, 10). Names whose numbers follow no
    step (timestamps) are taken as they come.

    Args:
        folder: for error messages.
        files: pictures that are named in one way, in natural order.

    Raises:
        FrameError: two files have one number, or more frames are missing than there are.
    """
    plain: list[tuple[str, Path | None]] = [(file.name, file) for file in files]
    matches = [_last_number(file) for file in files]
    numbers = [int(match[2]) for match in matches]
    steps = _steps(numbers)
    if 0 in steps:
        repeated = steps.index(0)
        raise FrameError(
            f"{folder}: {files[repeated].name} and {files[repeated + 1].name} have one "
            "number; expected one picture a frame (are two recordings or masks "
            "mixed?)"
        )
    step = Counter(steps).most_common(1)[0][0] if steps else 1
    if steps.count(step) * 2 <= len(steps) or any(s % step for s in steps):
        return plain
    absent = sum(s // step - 1 for s in steps)
    if absent > len(files):  # stand-ins for most of the video would be made up
        jump = max(range(len(steps)), key=steps.__getitem__)
        raise FrameError(
            f"{folder}: the numbering jumps from {files[jump].name} to "
            f"{files[jump + 1].name}, {absent:,} of {absent + len(files):,} frames "
            "are missing; expected one recording"
        )
    entries = plain[:1]
    for match, number, file, gap in zip(matches, numbers, files[1:], steps):
        for missing in range(number + step, number + gap, step):
            digits = str(missing).zfill(len(match[2]))
            entries.append((f"{match[1]}{digits}{match[3]}{file.suffix}", None))
        entries.append((file.name, file))
    return entries
