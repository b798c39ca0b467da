"""What can stand out in a frame: facts with the normal range of their place, and their words.

Speeds are in pixels of the source, a frame that was scored. To add a kind, write its dataclass with
`kind`, `finding` and `short`, and put it into `FACTS`. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeAlias

from mpn.io.text import percent
from mpn.scoring.parts import PARTS

# Faster is what is so many times what is usual: less is not worth saying.
FASTER = 1.1
# What is slower than so much of it is not among the fastest: all in all the frame stands out.
AMONG = 0.9
TITLES = {part.name: part.title for part in PARTS}


@dataclass(frozen=True)
class _Moves:
    """Something that moves.

    Attributes:
        direction: a word of `mpn.motion.usual.COMPASS`.
        speed: pixels a frame.
        speed_per_second: pixels a second, None where the frame rate is unknown.
    """

    kind: ClassVar[str]
    direction: str
    speed: float
    speed_per_second: float | None

    def what(self) -> str:
        """Say what it does, before its finding."""
        return f"moves {self.direction} at {_speed(self.speed, self.speed_per_second)}"


@dataclass(frozen=True)
class Fast(_Moves):
    """Faster than what moves there.

    Attributes:
        usual_high: 99 % of what moved there was no faster, pixels a frame.
        usual_high_per_second: the same in pixels a second.
    """

    kind = "speed"
    usual_high: float
    usual_high_per_second: float | None

    def finding(self) -> str:
        """Say what is usual."""
        usual = _speed(self.usual_high, self.usual_high_per_second, unit="")
        if self.speed < AMONG * self.usual_high:
            return f"nothing unusual by itself: here up to {usual}"
        among = "" if self.speed > FASTER * self.usual_high else "among the fastest: "
        return f"{among}here usually up to {usual}"

    def short(self) -> str:
        """Say it in a few words."""
        how = "moves" if self.speed < AMONG * self.usual_high else "fast:"
        return f"{how} {_number(self.speed)} px a frame, usual {_number(self.usual_high)}"


@dataclass(frozen=True)
class FastThatWay(Fast):
    """Faster than what moves that way there, though not than all that moves.

    Both speeds are those in the direction; the rest as `Fast`.
    """

    kind = "speed that way"

    def finding(self) -> str:
        """Say what is usual."""
        usual = _speed(self.usual_high, self.usual_high_per_second, unit="")
        return f"here usually up to {usual} that way"


@dataclass(frozen=True)
class OtherWay(_Moves):
    """Goes another way than what moves there.

    Attributes:
        usual_directions: one or two that most of the movement has, none where it has many.
        share: of the movement there that goes its way.
    """

    kind = "direction"
    usual_directions: tuple[str, ...]
    share: float

    def finding(self) -> str:
        """Say what is usual."""
        if self.usual_directions:
            return f"here things move {' and '.join(self.usual_directions)}"
        if not self.share:
            return "here nothing moves that way"
        return f"here hardly anything moves that way ({_seldom(self.share)})"

    def short(self) -> str:
        """Say it in a few words."""
        return (
            f"moves {self.direction}, usual {' and '.join(self.usual_directions) or 'other ways'}"
        )


@dataclass(frozen=True)
class OtherPlace(_Moves):
    """Moves where hardly anything does.

    Attributes:
        share: of the frames in which anything moved there.
    """

    kind = "place"
    share: float

    def finding(self) -> str:
        """Say what is usual."""
        if not self.share:
            return "here nothing moves"
        return f"here hardly anything moves (in {_seldom(self.share)} of the frames)"

    def short(self) -> str:
        """Say it in a few words."""
        return "moves where hardly anything does"


@dataclass(frozen=True)
class OtherLook:
    """Unlike what the network expects, where motion does not stand out.

    Attributes:
        part: of the score.
        deviations: of normal frames that the part is above them, None where none are known.
        motion_known: whether a place model could judge the motion.
    """

    kind: ClassVar[str] = "appearance"
    part: str
    deviations: float | None
    motion_known: bool

    def finding(self) -> str:
        """Say what stands out."""
        does = "looks" if self.motion_known else "looks or moves"
        how = ""
        if self.deviations is not None:
            how = f" ({TITLES[self.part]} {_number(self.deviations)} deviations above normal)"
        return f"{does} unlike what is expected here{how}"

    def short(self) -> str:
        """Say it in a few words."""
        return "unlike what is expected here"


@dataclass(frozen=True)
class Stays:
    """Something was left, taken away, or does not move on.

    Attributes:
        deviations: of normal frames that the part is above them, None where none are known.
    """

    kind: ClassVar[str] = "stays"
    deviations: float | None

    def finding(self) -> str:
        """Say what stands out."""
        how = "" if self.deviations is None else f" ({_number(self.deviations)} deviations above)"
        return f"the picture has changed here and stays so, longer than is usual{how}"

    def short(self) -> str:
        """Say it in a few words."""
        return "a change that stays"


Fact: TypeAlias = "Fast | FastThatWay | OtherWay | OtherPlace | OtherLook | Stays"
FACTS: dict[str, type[Fact]] = {
    fact.kind: fact for fact in (Fast, FastThatWay, OtherWay, OtherPlace, OtherLook, Stays)
}


def fact_to_dict(fact: Fact) -> dict[str, Any]:
    """Give a fact as plain numbers and lists, ready for JSON.

    Args:
        fact: of any kind.
    """
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(fact).items()
    }
    return {"kind": fact.kind, **values}


def fact_from_dict(values: Mapping[str, Any]) -> Fact:
    """Read what `fact_to_dict` gave, further entries left out.

    Args:
        values: name -> value.

    Raises:
        KeyError: an unknown kind, or something is missing.
    """
    kind = FACTS[values["kind"]]
    entries: dict[str, Any] = {field.name: values[field.name] for field in fields(kind)}
    for name, value in entries.items():
        if isinstance(value, list):
            entries[name] = tuple(value)
    return kind(**entries)


def _speed(speed: float, per_second: float | None, unit: str = " px a frame") -> str:
    """Write a speed: "9.1 px a frame (91 px/s)"."""
    second = "" if per_second is None else f" ({_number(per_second)} px/s)"
    return f"{_number(speed)}{unit}{second}"


def _seldom(share: float) -> str:
    """Write a small share that is not 0."""
    return "less than 0.1 %" if share < 0.0005 else percent(share, unit=True)


def _number(value: float) -> str:
    """Write a number to two or three digits, never with an exponent."""
    return f"{value:.1f}" if abs(value) < 9.95 else f"{value:,.0f}"
