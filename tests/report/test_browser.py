"""The page in headless Chromium: film, curve and lists in step, keys; nothing is loaded."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from mpn.report.model import Report, Trace
from mpn.report.page import write_report
from tests.helpers import pages
from tests.helpers.browser import COUNT, DISC, WARMTH, View, needs_chromium

pytestmark = needs_chromium


def test_it_asks_for_nothing_but_itself(view: View, report: Path) -> None:
    assert [url for url in view.requests if not url.startswith(("blob:", "data:"))] == [
        report.as_uri()
    ]


def test_it_opens_at_the_strongest_event(view: View) -> None:
    traces = pages.evaluation().traces
    best = max(
        (event.score, k, event.peak) for k, trace in enumerate(traces) for event in trace.events
    )
    assert (view.value("Number(document.getElementById('video').value)"), view.row()) == best[1:]


def test_an_address_may_ask_for_an_event(
    open_page: Callable[..., View], report: Path, tmp_path: Path
) -> None:
    numbers = count(1)
    page = tmp_path / "numbered.html"
    text = report.read_text("utf-8")
    page.write_text(re.sub('"number":null', lambda _: f'"number":{next(numbers)}', text), "utf-8")
    known = [(k, one) for k, trace in enumerate(pages.evaluation().traces) for one in trace.events]
    for number in (len(known), 1):
        view = open_page(f"{page.as_uri()}#event-{number}")
        video, event = known[number - 1]
        assert view.value("Number(document.getElementById('video').value)") == video
        assert view.row() == event.peak


def test_the_film_plays_and_the_cursor_goes_with_it(view: View) -> None:
    view.page.keyboard.press("Home")
    view.shows(0)
    head = "document.querySelector('.playhead').getBoundingClientRect().left"
    before = view.value(head)
    view.page.click("#play")
    view.until("document.getElementById('play').getAttribute('aria-label') === 'Pause'")
    view.until(
        "document.getElementById('film').currentTime > 0.3 && "
        "document.getElementById('position').value >= 7"
    )
    view.page.click("#play")
    view.until("document.getElementById('film').paused")
    assert view.value(head) > before + 5
    view.shows(view.row())  # they stopped at the same frame


def test_a_click_on_an_event_seeks(view: View) -> None:
    trace = pages.evaluation().traces[view.value("Number(document.getElementById('video').value)")]
    for number, event in enumerate(trace.events):
        view.page.locator("#events-body tr").nth(number).locator("button").click()
        view.shows(event.peak)
        curve, head = (
            view.page.locator(name).bounding_box() for name in ("#curve .u-over", ".playhead")
        )
        share = (head["x"] + 1 - curve["x"]) / curve["width"]
        assert share == pytest.approx((event.peak + 0.5) / COUNT, abs=0.01)


def test_events_are_judged_by_the_labels(view: View) -> None:
    rows = view.page.locator("#events-body tr .verdict").all_inner_texts()
    assert rows == ["found", "false alarm", "missed"]
    view.page.click("#scope-all")
    assert view.page.locator("#events-body tr").count() == 6
    view.page.click("#events-head button:has-text('Peak')")
    peaks = [
        float(x)
        for x in view.page.locator("#events-body td:nth-child(4)").all_inner_texts()
        if x != "-"
    ]
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
        view.until(
            f"Math.abs(document.getElementById('position').value - {share * COUNT - 0.5}) < 2"
        )
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
    for everything in (
        lambda: view.page.click("#zoom-all"),
        lambda: view.page.mouse.dblclick(box["x"] + 90, y),
    ):
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
            "return new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size "
            "})()"
        )
        assert drawn > 20
    assert view.page.locator(".matrix:visible").get_attribute("id") == "matrix-micro_auc"
    view.page.select_option("#figure", "equal_error_rate")
    assert view.page.locator(".matrix:visible").get_attribute("id") == "matrix-equal_error_rate"


def test_an_event_says_why_and_its_words_are_no_markup(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    trace = pages.trace("a", labels=False)
    words = ["moves <b>left</b> & right", "looks unlike what is expected here"]
    trace.events = [event._replace(why=why) for event, why in zip(trace.events, words)]
    view = open_page(write_report(tmp_path / "report.html", Report("score", "x", traces=[trace])))
    assert view.page.locator("#events-body td.why").all_inner_texts() == words
    for number, why in enumerate(words):
        view.page.locator("#events-body tr").nth(number).locator("button").click()
        view.until(f"document.getElementById('now-why').textContent === {why!r}")
    view.page.fill("#position", "5")
    view.until("document.getElementById('now-why').textContent === ''")


def test_without_reasons_there_is_no_room_for_them(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    trace = pages.trace("a", labels=False)
    view = open_page(write_report(tmp_path / "report.html", Report("score", "x", traces=[trace])))
    assert view.page.locator("#events-body tr").count() == 2
    assert view.page.locator("#events-body td.why").count() == 0
    assert not view.page.locator("#now-why").is_visible()


def test_a_film_beside_the_page_plays(tmp_path: Path, open_page: Callable[..., View]) -> None:
    path = write_report(tmp_path / "report.html", pages.evaluation(tmp_path), embed_bytes=0)
    view = open_page(path)
    view.until("document.getElementById('film').readyState >= 2")
    view.page.keyboard.press("Home")
    view.page.click("#play")
    view.until("document.getElementById('film').currentTime > 0.2")


def test_a_missing_film_is_said_and_the_curve_works(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    path = write_report(tmp_path / "report.html", pages.evaluation(tmp_path), embed_bytes=0)
    shutil.rmtree(tmp_path / "report-files")
    view = open_page(path)
    view.until("!document.getElementById('screen-note').hidden")
    assert "report-files/film-001.webm" in view.page.inner_text("#screen-note")
    view.page.keyboard.press("Home")
    view.page.keyboard.press("ArrowRight")
    assert view.row() == 1
    view.complaints = [text for text in view.complaints if "ERR_FILE_NOT_FOUND" not in text]


def test_a_thinned_film_shows_the_nearest_frame_and_says_so(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    report = pages.evaluation()
    report.traces = report.traces[:1]
    report.activations = []
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


def test_without_film_rate_or_score_it_still_works(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    plain = Trace("plain", np.r_[np.nan, np.arange(5.0)], first=7, step=3)
    silent = Trace("silent", np.full(3, np.nan), 10.0)
    single = Trace("single", np.array([1.0]), 10.0, threshold=2.0)
    view = open_page(
        write_report(tmp_path / "report.html", Report("score", "x", traces=[plain, silent, single]))
    )
    assert not view.page.is_visible("#play")
    assert view.page.inner_text("#now-time") == "frame 22"  # the highest: row 5
    view.page.keyboard.press("Home")
    assert (view.page.inner_text("#now-time"), view.page.inner_text("#now-score")) == (
        "frame 7",
        "-",
    )
    for name in ("1", "2"):
        view.page.select_option("#video", name)
    assert view.page.inner_text("#now-score") == "1"


def by_itself(folder: Path) -> tuple[Path, Trace]:
    """The page of a recording that was judged by itself; its second moment is the stranger one."""
    trace = pages.trace("hall.mp4", folder, labels=False)
    trace.events = [
        event._replace(strangeness=strangeness)
        for event, strangeness in zip(trace.events, (1.5, 4.0))
    ]
    page = Report("score", "hall.mp4", by_itself=True, traces=[trace])
    return write_report(folder / "hall.html", page), trace


def test_the_strangest_moment_is_first_and_shown(
    open_page: Callable[..., View], tmp_path: Path
) -> None:
    path, trace = by_itself(tmp_path)
    view = open_page(path)
    assert view.row() == trace.events[1].peak
    rows = view.page.locator("#events-body tr")
    starts = [int(row.get_attribute("data-start")) for row in rows.all()]
    assert starts == [trace.events[1].start, trace.events[0].start]
    assert rows.first.locator("td").first.inner_text() == "1"
    view.page.click("#events-head button:has-text('Start')")
    starts = [int(row.get_attribute("data-start")) for row in rows.all()]
    assert starts == sorted(starts)
    ranks = [row.locator("td").first.inner_text() for row in rows.all()]
    assert ranks == ["2", "1"]  # it stays what it is
    view.page.click("#events-head button:has-text('Rank')")
    assert rows.first.locator("td").first.inner_text() == "1"
    assert "strangest" in view.page.inner_text("#events-title")
    assert "not to say that it is wrong" in view.page.inner_text("#events-summary")


def test_a_recording_judged_by_itself_has_no_threshold(
    open_page: Callable[..., View], tmp_path: Path
) -> None:
    """Nobody has said what rate of false alarms it would stand for."""
    view = open_page(by_itself(tmp_path)[0])
    assert view.page.inner_text("#now-state") == "listed"
    assert view.page.get_attribute("#position", "aria-valuetext").endswith(", listed")
    assert view.page.inner_text("#key-threshold").startswith("listed above")


def test_events_of_a_model_have_no_rank(view: View) -> None:
    assert view.page.locator("#events-head :has-text('Rank')").count() == 0
    assert view.page.inner_text("#events-title") == "Events"
