"""Headless Chromium for the tests of the page: how it is started, and what is asked of a page that
is open."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.helpers import pages

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
COUNT = 150


@dataclass
class View:
    """A page that is open, with what it complained about and what it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def row(self) -> int:
        return int(self.page.input_value("#position"))

    def until(self, expression: str, seconds: float = 8) -> None:
        """Waits for it to be true; asked from outside, since the page's policy lets nobody evaluate
        text in it."""
        last = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < last, f"still not so: {expression}"
            self.page.wait_for_timeout(25)

    def shows(self, row: int) -> None:
        """Waits until slider and picture are both at a row: the disc in the picture is where that
        row has it."""
        self.until(f"document.getElementById('position').value == '{row}'")
        self.until(f"Math.abs(({DISC})() - {pages.disc(row)}) < 1.6")

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)


def complains(said: Any) -> bool:
    """Errors and warnings, but for the one that these tests earn by reading the canvas."""
    return said.type in ("error", "warning") and "willReadFrequently" not in said.text


# Where the bright disc is in the picture that is drawn, in pixels of the footage; -1 where there is
# none. Heat is redder than it is blue, the disc is neither.
DISC = f"""() => {{
  const canvas = document.getElementById('drawing');
  if (!canvas.width) return -1;
  const y = Math.floor(canvas.height * 0.5);
  const pixels = canvas.getContext('2d').getImageData(0, y, canvas.width, 1).data;
  let sum = 0, count = 0;
  for (let x = 0; x < canvas.width; x++) if (pixels[4 * x + 2] > 190) (sum += x), count++;
  return count ? (sum / count + 0.5) * {pages.SIZE[1]} / canvas.width : -1;
}}"""
WARMTH = """() => {
  const canvas = document.getElementById('drawing');
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let warm = 0;
  for (let k = 0; k < pixels.length; k += 4) warm += pixels[k] - pixels[k + 2] > 20;
  return warm / (pixels.length / 4);
}"""
