"""The page in headless Chromium: film, curve and lists in step, keys, themes, widths, names; nothing is loaded."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpn.report.content import Report, Trace
from mpn.report.page import write_report
from tests.report import pages

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
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
        """Waits for it to be true; asked from outside, since the page's policy lets nobody evaluate text in it."""
        last = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < last, f"still not so: {expression}"
            self.page.wait_for_timeout(25)

    def shows(self, row: int) -> None:
        """Waits until slider and picture are both at a row: the disc in the picture is where that row has it."""
        self.until(f"document.getElementById('position').value == '{row}'")
        self.until(f"Math.abs(({DISC})() - {pages.disc(row)}) < 1.6")

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)


def complains(said: Any) -> bool:
    """Errors and warnings, but for the one that these tests earn by reading the canvas."""
    return said.type in ("error", "warning") and "willReadFrequently" not in said.text


# Where the bright disc is in the picture that is drawn, in pixels of the footage; -1 where there is none. Heat is
# redder than it is blue, the disc is neither.
DISC = f"""() => {{
  const canvas = document.getElementById('drawing');
  if (!canvas.width) return -1;
  const y = Math.floor(canvas.height * 0.5), pixels = canvas.getContext('2d').getImageData(0, y, canvas.width, 1).data;
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as manager:
        running = manager.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    return write_report(folder / "report.html", pages.evaluation(folder))


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., View]]:
    contexts, views = [], []

    def opened(path: Path, width: int = 1280, height: int = 860, theme: str = "light", **options: Any) -> View:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, **options)
        contexts.append(context)
        view = View(context.new_page())
        views.append(view)
        view.page.on("console", lambda said: view.complaints.append(said.text) if complains(said) else None)
        view.page.on("pageerror", lambda error: view.complaints.append(str(error)))
        view.page.on("request", lambda request: view.requests.append(request.url))
        view.page.goto(path.as_uri())
        return view

    yield opened
    complaints = [complaint for view in views for complaint in view.complaints]
    loaded = [url for view in views for url in view.requests if not url.startswith(("file:", "data:", "blob:"))]
    for context in contexts:
        context.close()
    assert complaints == []
    assert loaded == []


@pytest.fixture
def view(report: Path, open_page: Callable[..., View]) -> View:
    """The page with its film loaded and drawn, at the peak of its strongest event."""
    opened = open_page(report)
    opened.shows(opened.row())
    return opened


def test_it_asks_for_nothing_but_itself(view: View, report: Path) -> None:
    assert [url for url in view.requests if not url.startswith(("blob:", "data:"))] == [report.as_uri()]


def test_it_opens_at_the_strongest_event(view: View) -> None:
    traces = pages.evaluation().traces
    best = max((event.score, k, event.peak) for k, trace in enumerate(traces) for event in trace.events)
    assert (view.value("Number(document.getElementById('video').value)"), view.row()) == best[1:]


def test_the_film_plays_and_the_cursor_goes_with_it(view: View) -> None:
    view.page.keyboard.press("Home")
    view.shows(0)
    head = "document.querySelector('.playhead').getBoundingClientRect().left"
    before = view.value(head)
    view.page.click("#play")
    view.until("document.getElementById('play').getAttribute('aria-label') === 'Pause'")
    view.until("document.getElementById('film').currentTime > 0.3 && document.getElementById('position').value >= 7")
    view.page.click("#play")
    view.until("document.getElementById('film').paused")
    assert view.value(head) > before + 5
    view.shows(view.row())  # they stopped at the same frame


def test_a_click_on_an_event_seeks(view: View) -> None:
    trace = pages.evaluation().traces[view.value("Number(document.getElementById('video').value)")]
    for number, event in enumerate(trace.events):
        view.page.locator("#events-body tr").nth(number).locator("button").click()
        view.shows(event.peak)
        curve, head = (view.page.locator(name).bounding_box() for name in ("#curve .u-over", ".playhead"))
        share = (head["x"] + 1 - curve["x"]) / curve["width"]
        assert share == pytest.approx((event.peak + 0.5) / COUNT, abs=0.01)


def test_events_are_judged_by_the_labels(view: View) -> None:
    rows = view.page.locator("#events-body tr .verdict").all_inner_texts()
    assert rows == ["found", "false alarm", "missed"]
    view.page.click("#scope-all")
    assert view.page.locator("#events-body tr").count() == 6
    view.page.click("#events-head button:has-text('Peak')")
    peaks = [float(x) for x in view.page.locator("#events-body td:nth-child(4)").all_inner_texts() if x != "-"]
    assert peaks == sorted(peaks, reverse=True) and len(peaks) == 4
    other = view.page.locator("#events-body tr:has-text('video 00') button").first
    other.click()
    assert view.value("document.getElementById('video').value") == "0"


def test_keys(view: View) -> None:
    press = view.page.keyboard.press
    trace = pages.evaluation().traces[view.value("Number(document.getElementById('video').value)")]
    peaks = [event.peak for event in trace.events]
    press("Home")
    view.shows(0)
    press("ArrowRight")
    view.shows(1)
    press("Shift+ArrowRight")
    view.shows(26)
    press("Shift+ArrowLeft")
    press("ArrowLeft")
    view.shows(0)
    press("n")
    view.shows(peaks[0])
    press("n")
    view.shows(peaks[1])
    press("p")
    view.shows(peaks[0])
    press("End")
    view.shows(COUNT - 1)
    press("h")
    assert view.page.get_attribute("#heat", "aria-pressed") == "false"
    press("b")
    assert view.page.get_attribute("#boxes", "aria-pressed") == "false"
    press("Home")
    press(" ")
    view.until("!document.getElementById('film').paused")
    press(" ")
    view.until("document.getElementById('film').paused")


def test_keys_are_left_to_the_control_that_needs_them(view: View) -> None:
    view.page.keyboard.press("Home")
    view.page.focus("#video")
    view.page.keyboard.press("End")  # the chooser's own: its last video
    assert view.value("document.getElementById('video').value") == "1"
    view.page.focus("#help")
    view.page.keyboard.press(" ")  # presses the button, plays nothing
    assert view.page.is_visible("#keys")
    view.page.uncheck("#keys-on")
    row = view.row()
    view.page.evaluate("document.activeElement.blur()")
    view.page.keyboard.press("ArrowRight")
    assert view.row() == row
    assert view.value("document.getElementById('film').paused")


def test_moving_along_the_curve_moves_the_film(view: View) -> None:
    box = view.page.locator("#curve .u-over").bounding_box()
    for share in (0.2, 0.55, 0.9):
        view.page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        view.until(f"Math.abs(document.getElementById('position').value - {share * COUNT - 0.5}) < 2")
        view.shows(view.row())


def test_dragging_zooms_and_all_is_one_click_away(view: View) -> None:
    box = view.page.locator("#curve .u-over").bounding_box()
    y = box["y"] + box["height"] / 2
    view.page.mouse.move(box["x"] + 0.2 * box["width"], y)
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 0.4 * box["width"], y, steps=4)
    view.page.mouse.up()
    view.page.mouse.move(box["x"] + 0.5 * box["width"], y)  # the middle of rows 30 to 60
    view.until("Math.abs(document.getElementById('position').value - 45) < 2")
    assert view.page.is_enabled("#zoom-all")
    view.page.keyboard.press("End")  # what is out of sight is brought into it
    view.until("!document.querySelector('.playhead').hidden")
    for everything in (lambda: view.page.click("#zoom-all"), lambda: view.page.mouse.dblclick(box["x"] + 90, y)):
        everything()
        assert view.page.is_disabled("#zoom-all")
        view.page.mouse.move(box["x"] + 0.5 * box["width"], y)
        view.until("Math.abs(document.getElementById('position').value - 75) < 2")
        view.page.click("#zoom-in")
        view.page.mouse.move(box["x"] + 0.25 * box["width"], y)  # twice as wide about row 75
        view.until("Math.abs(document.getElementById('position').value - 56) < 2")


def test_heat_goes_off_and_on(view: View) -> None:
    view.page.click("#boxes")  # they are warm too
    with_heat = view.value(WARMTH)
    view.page.click("#heat")
    without = view.value(WARMTH)
    view.page.click("#heat")
    assert with_heat > 0.02
    assert without < 0.002
    assert view.value(WARMTH) == pytest.approx(with_heat)


def test_boxes_are_drawn_where_the_rows_have_them(view: View) -> None:
    view.page.click("#heat")
    with_boxes = view.value(WARMTH)
    view.page.keyboard.press("Home")  # no region there
    view.shows(0)
    assert with_boxes > 0.01 > 0.002 > view.value(WARMTH)


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_never_scrolls_sideways(report: Path, open_page: Callable[..., View], width: int) -> None:
    view = open_page(report, width, 780, has_touch=True, is_mobile=True, device_scale_factor=2)
    view.page.click("#help")
    assert view.value("document.scrollingElement.scrollWidth <= innerWidth")
    assert view.value("innerWidth") == width
    view.shows(view.row())
    picture, curve = (view.page.locator(name).bounding_box() for name in ("#screen", "#curve"))
    assert curve["y"] >= picture["y"] + picture["height"]  # above each other
    assert picture["width"] > 0.8 * width


def test_a_finger_moves_along_the_curve(report: Path, open_page: Callable[..., View]) -> None:
    view = open_page(report, 390, 780, has_touch=True, is_mobile=True, device_scale_factor=1)
    view.page.locator("#curve").scroll_into_view_if_needed()
    box = view.page.locator("#curve .u-over").bounding_box()
    view.page.touchscreen.tap(box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    view.until(f"Math.abs(document.getElementById('position').value - {0.25 * COUNT}) < 2")


# Every text on the page with its colour and the ground below it, both as they come out: layers are put over each
# other by a canvas.
CONTRASTS = r"""() => {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const apart = '.hidden, .skip, .screen, svg, noscript, script, select, :disabled';
  const mixed = (...layers) => {
    for (const layer of layers) { pen.fillStyle = layer; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const found = {};
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility() || element.closest(apart)) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const grounds = [];
    let solid = 1;
    for (let at = element; at; at = at.parentElement) {
      grounds.unshift(getComputedStyle(at).backgroundColor);
      solid *= Number(getComputedStyle(at).opacity);
    }
    const ink = getComputedStyle(element).color;
    pen.globalAlpha = 1;
    const ground = mixed('#fff', ...grounds);
    pen.globalAlpha = solid;
    const text = mixed(ink);
    pen.globalAlpha = 1;
    const [high, low] = [light(text), light(ground)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const key = `${ink} on ${ground}`;
    const where = `${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 40)}`;
    if (!(key in found) || ratio < found[key][0]) found[key] = [ratio, where];
  }
  return Object.values(found);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(report: Path, open_page: Callable[..., View], theme: str) -> None:
    view = open_page(report, theme=theme)
    view.page.click("#help")
    found = view.value(CONTRASTS)
    assert len(found) >= 8
    assert [(round(ratio, 2), where) for ratio, where in found if ratio < 4.5] == []


def test_dark_is_dark_and_the_button_turns_it(report: Path, open_page: Callable[..., View]) -> None:
    view = open_page(report, theme="dark")

    def ground() -> int:
        return sum(map(int, re.findall(r"\d+", view.value("getComputedStyle(document.body).backgroundColor"))[:3]))

    assert ground() < 150
    view.page.click("#theme")
    assert ground() > 600
    view.page.emulate_media(color_scheme="light")
    view.page.emulate_media(color_scheme="dark")  # the choice stands
    assert ground() > 600


def test_whatever_can_be_used_has_a_name(view: View) -> None:
    nodes = view.page.context.new_cdp_session(view.page).send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "combobox", "slider", "checkbox", "image", "region", "dialog", "table", "navigation"}
    used = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert len(used) > 40
    assert [node["role"]["value"] for node in used if not node.get("name", {}).get("value", "").strip()] == []


def test_the_position_is_said(view: View) -> None:
    view.page.keyboard.press("Home")
    assert view.page.get_attribute("#position", "aria-valuetext") == "0:00.0, score none"
    view.page.keyboard.press("n")
    said = view.page.get_attribute("#position", "aria-valuetext")
    assert re.fullmatch(r"0:0\d\.\d, score [45]\.\d+, above the threshold", said)
    view.until(f"document.getElementById('live').textContent === '{said}'")


def test_the_insides_enlarge_and_lead_back(view: View) -> None:
    view.page.click("#insides .enlarge >> nth=1")
    assert view.page.is_visible("#enlarged")
    assert view.page.inner_text("#enlarged-title") == "Prediction"
    view.page.keyboard.press("ArrowRight")
    assert view.page.inner_text("#enlarged-title") == "Error"
    view.page.keyboard.press("Escape")
    assert not view.page.is_visible("#enlarged")
    view.page.select_option("#inside", "1")
    view.page.click("#inside-1 .goto")
    view.shows(20)
    assert view.value("document.getElementById('video').value") == "1"


def test_the_charts_and_the_matrix(view: View) -> None:
    legend = view.page.locator("#roc-legend li").all_inner_texts()
    second = pages.curve(0.1)
    area = np.sum(np.diff(second.x) * (second.y[1:] + second.y[:-1]) / 2)
    assert legend == ["region score AUC 0.943", f"speed alone AUC {area:.3f}"]
    for name in ("roc", "precision-recall", "promises"):
        drawn = view.value(
            f"(() => {{ const c = document.querySelector('#{name} canvas');"
            "return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size })()"
        )
        assert drawn > 20
    assert view.page.locator(".matrix:visible").get_attribute("id") == "matrix-micro_auc"
    view.page.select_option("#figure", "equal_error_rate")
    assert view.page.locator(".matrix:visible").get_attribute("id") == "matrix-equal_error_rate"


def test_a_film_beside_the_page_plays(tmp_path: Path, open_page: Callable[..., View]) -> None:
    path = write_report(tmp_path / "report.html", pages.evaluation(tmp_path), embed_bytes=0)
    view = open_page(path)
    view.until("document.getElementById('film').readyState >= 2")
    view.page.keyboard.press("Home")
    view.page.click("#play")
    view.until("document.getElementById('film').currentTime > 0.2")


def test_a_missing_film_is_said_and_the_curve_works(tmp_path: Path, open_page: Callable[..., View]) -> None:
    path = write_report(tmp_path / "report.html", pages.evaluation(tmp_path), embed_bytes=0)
    shutil.rmtree(tmp_path / "report-files")
    view = open_page(path)
    view.until("!document.getElementById('screen-note').hidden")
    assert "report-files/film-001.webm" in view.page.inner_text("#screen-note")
    view.page.keyboard.press("Home")
    view.page.keyboard.press("ArrowRight")
    assert view.row() == 1
    view.complaints = [text for text in view.complaints if "ERR_FILE_NOT_FOUND" not in text]


def test_a_thinned_film_shows_the_nearest_frame_and_says_so(tmp_path: Path, open_page: Callable[..., View]) -> None:
    report = pages.evaluation()
    report.traces = report.traces[:1]
    report.insides = []
    film = pages.write_film(tmp_path / "thin.webm", [(0, 10, 4), (40, 1, 30), (80, 10, 7)])
    report.traces[0].film = film
    view = open_page(write_report(tmp_path / "report.html", report))
    view.until("document.getElementById('film').readyState >= 2")
    for row, nearest in ((0, 0), (14, 10), (26, 30), (55, 55), (74, 69), (149, 140)):
        view.page.fill("#position", str(row))
        view.until(f"Math.abs(({DISC})() - {pages.disc(nearest)}) < 1.6")
        said = view.page.inner_text("#screen-foot")
        assert bool(said) == (row != nearest)
        assert not said or f"{nearest / 25:.1f}" in said


def test_without_film_rate_or_score_it_still_works(tmp_path: Path, open_page: Callable[..., View]) -> None:
    plain = Trace("plain", np.r_[np.nan, np.arange(5.0)], first=7, step=3)
    silent = Trace("silent", np.full(3, np.nan), 10.0)
    single = Trace("single", np.array([1.0]), 10.0, threshold=2.0)
    view = open_page(write_report(tmp_path / "report.html", Report("score", "x", traces=[plain, silent, single])))
    assert not view.page.is_visible("#play")
    assert view.page.inner_text("#now-time") == "frame 22"  # the highest: row 5
    view.page.keyboard.press("Home")
    assert (view.page.inner_text("#now-time"), view.page.inner_text("#now-score")) == ("frame 7", "-")
    for name in ("1", "2"):
        view.page.select_option("#video", name)
    assert view.page.inner_text("#now-score") == "1"
