"""How quickly a report of many frames opens in Chromium, and what a move along its curve costs.

    python -m benchmarks.report_speed

Needs playwright and a Chromium. First paint and first contentful paint are the browser's own
figures from the start of navigation; "ready" is when the curve is drawn and can be moved along; a
move is one pointer event on the curve until the next frame is on the screen, while the film
follows.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks.common import goal, parser, print_goals, print_table, shown, spread, write_result
from mpn.report.film import write_film
from mpn.report.model import EventRow, Film, Report, Trace
from mpn.report.page import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SIZE = (240, 360)  # of the footage
MOVED = 200  # moves along the curve
PAINTS = (
    "Object.fromEntries(performance.getEntriesByType('paint').map((entry) => [entry.name, "
    "entry.startTime]))"
)
# Once the curve has its playhead, the page's scripts have run.
READY = """() => new Promise((done) => {
  const look = () => document.querySelector('#curve .playhead') ?
    done(performance.now()) : requestAnimationFrame(look);
  look();
})"""
MOVES = """async (count) => {
  const over = document.querySelector('#curve .u-over'), box = over.getBoundingClientRect();
  const work = [], shown = [];
  for (let k = 0; k < count; k++) {
    const clientX = box.left + box.width * (0.05 + 0.9 * k / count);
    const place = { clientX, clientY: box.top + box.height / 2 };
    const start = performance.now();
    over.dispatchEvent(new PointerEvent('pointermove',
      { ...place, pointerType: 'mouse', bubbles: true }));
    work.push(performance.now() - start);
    await new Promise(requestAnimationFrame);
    shown.push(performance.now() - start);
  }
  return { work, shown };
}"""


def made_film(path: Path, frames: int, count: int) -> Film:
    """Write a film as heavy as a real one: a rough picture that moves, with a camera's noise."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(
        rng.integers(0, 255, (40, 60), np.uint8), SIZE[::-1], interpolation=cv2.INTER_CUBIC
    )
    noise = [rng.normal(0, 4, SIZE) for _ in range(20)]
    pictures = (
        np.clip(np.roll(ground, k, 1) + noise[k % 20], 0, 255).astype(np.uint8)[:, :, None]
        for k in range(min(frames, count))
    )
    heat = (np.roll(np.eye(24, 36, dtype=np.uint8) * 128, k, 1) for k in range(min(frames, count)))
    return write_film(
        path, pictures, heat, 25.0, SIZE, [(0, max(1, frames // count), min(frames, count))]
    )


def made_report(folder: Path, frames: int, film: int) -> Path:
    """One video of so many frames: noise, an event every 500 frames."""
    rng = np.random.default_rng(0)
    scores = 1 + 0.2 * rng.standard_normal(frames)
    events = []
    for start in range(250, frames - 40, 500):
        scores[start : start + 40] += 4 * np.sin(np.linspace(0, np.pi, 40))
        events.append(EventRow(start, start + 40, start + 20, float(scores[start + 20]), 5000.0))
    regions = [
        (row, k, 3.0, (10, 20, 30, 30))
        for k, e in enumerate(events)
        for row in range(e.start, e.end)
    ]
    labels = [(event.start - 5, event.end + 5) for event in events[::2]]
    film_of = made_film(folder / "film.webm", frames, film) if film else None
    trace = Trace(
        "made",
        scores,
        25.0,
        threshold=2.5,
        labels=labels,
        events=events,
        regions=regions,
        size=SIZE,
        film=film_of,
    )
    return write_report(
        folder / "report.html", Report("evaluate", f"{frames:,} frames", traces=[trace])
    )


def measured(page: Page, path: Path, moves: int) -> dict[str, float]:
    """Milliseconds of one opening, the moves' as medians and 95th percentiles."""
    page.goto(path.as_uri(), wait_until="commit")
    ready = page.evaluate(READY)
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)
    paints = page.evaluate(PAINTS)
    durations = page.evaluate(MOVES, moves)
    result = {
        "first_paint": paints["first-paint"],
        "first_contentful_paint": paints["first-contentful-paint"],
    }
    result |= {"ready": ready}
    for name, values in durations.items():
        result |= {
            f"move_{name}": statistics.median(values),
            f"move_{name}_95": float(np.quantile(values, 0.95)),
        }
    return result


def main() -> None:
    """Measures, prints, writes report_speed.json."""
    arguments = parser(__doc__)
    arguments.add_argument("--frames", type=int, help="of the scores (default 20000; quick: 2000)")
    arguments.add_argument(
        "--film", type=int, help="frames of the film, 0 for none (default 3000; quick: 100)"
    )
    arguments.add_argument(
        "--repeats", type=int, help="times that the page is opened (default 5; quick: 1)"
    )
    args = arguments.parse_args()
    frames = args.frames or (2_000 if args.quick else 20_000)
    film = args.film if args.film is not None else (100 if args.quick else 3_000)
    repeats = args.repeats or (1 if args.quick else 5)
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as manager:
        path = made_report(Path(folder), frames, film)
        size = path.stat().st_size / 1e6
        browser = manager.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        runs = []
        for _ in range(repeats):
            page = browser.new_page(viewport={"width": 1280, "height": 860})
            runs.append(measured(page, path, MOVED))
            page.close()
        version = browser.version
        browser.close()
    figures = {name: spread([run[name] for run in runs]) for name in runs[0]}
    print(f"{frames:,} frames of scores, a film of {film:,}, {size:.1f} MB, Chromium {version}\n")
    print_table(
        ["milliseconds", "median (low-high)"],
        [[name, shown(figure, 1)] for name, figure in figures.items()],
    )
    goals = {
        "first paint, ms": goal(figures["first_contentful_paint"]["median"], 2000, at_most=True),
        "curve ready, ms": goal(figures["ready"]["median"], 2000, at_most=True),
        "work of a move along the curve, 95 %, ms": goal(
            figures["move_work_95"]["median"], 1000 / 60, at_most=True
        ),
    }
    print_goals(goals)
    result = {
        "frames": frames,
        "film_frames": film,
        "megabytes": round(size, 2),
        "chromium": version,
        "milliseconds": figures,
        "goals": goals,
    }
    write_result("report_speed", args, result)


if __name__ == "__main__":
    main()
