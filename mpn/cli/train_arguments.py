"""What the options of `mpn train` may be: text to values, for argparse."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable

from mpn.cli import positive
from mpn.errors import MpnError
from mpn.model.losses import check_loss_names


def names(text: str) -> tuple[str, ...]:
    """Read words separated by commas, for argparse."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise argparse.ArgumentTypeError(f"{text!r}: names separated by commas were expected")
    return words


def loss_names(text: str) -> tuple[str, ...]:
    """Names of loss terms separated by commas, for argparse."""
    terms = names(text)
    try:
        check_loss_names(terms)
    except MpnError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return terms


def weights(check: Callable[[dict[str, float]], None]) -> Callable[[str], dict[str, float]]:
    """Make what reads weights by name, such as frame=1,maps=0.1, for argparse.

    Args:
        check: raises MpnError for a name or weight that cannot be.
    """

    def read(text: str) -> dict[str, float]:
        values = {}
        for word in names(text):
            name, _, weight = word.partition("=")
            try:
                values[name.strip()] = float(weight)
            except ValueError:
                raise argparse.ArgumentTypeError(
                    f"{word!r}: NAME=WEIGHT was expected, such as frame=1"
                ) from None
        try:
            check(values)
        except MpnError as error:
            raise argparse.ArgumentTypeError(str(error)) from None
        return values

    return read


def counts(text: str) -> tuple[int, ...]:
    """Read whole numbers above 0, separated by commas, for argparse."""
    return tuple(positive(word) for word in names(text))


def frame_size(text: str) -> tuple[int, int]:
    """Read (height, width) from text such as 128x192, for argparse."""
    match = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", text)
    if not match:
        raise argparse.ArgumentTypeError(
            f"{text!r}: HEIGHTxWIDTH in pixels was expected, such as 128x192"
        )
    return int(match[1]), int(match[2])
