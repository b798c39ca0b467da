"""The page in headless Chromium: an event is taught, by a command or by a click."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers import pages
from tests.helpers.browser import View, needs_chromium
from tests.helpers.served import CAMERA, FIRST, Notebook, serving, write_results
from tests.report.test_browser_looks import CONTRASTS

pytestmark = needs_chromium
SAID = "document.getElementById('teach-said').textContent"


def buttons(view: View) -> list[str]:
    return view.page.locator("#events-body .teach-open").all_inner_texts()


def command(view: View, which: str) -> list[str]:
    """The words that a shell makes of a command on the page."""
    return shlex.split(view.page.inner_text(f"#teach-{which}"))


def test_a_page_from_a_file_shows_the_command(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    results = write_results(tmp_path / "it's out")
    view = open_page(results / "report.html")
    assert buttons(view) == ["Teach\u2026", "Teach\u2026"]
    row = view.row()
    view.page.locator(".teach-open").nth(1).click()
    assert view.page.get_by_role("dialog", name="Event 2, 0:04.0").is_visible()
    assert view.row() == row  # the film stays where it is
    to_teach = ["mpn", "teach", CAMERA, f"{results / 'events.json'}#2"]
    assert command(view, "normal") == [*to_teach, "--normal"]
    assert command(view, "named") == [*to_teach, "--name", "NAME"]
    for name, words in (
        (" white van ", ["--name", "white van"]),
        ("$(rm *)", ["--name", "$(rm *)"]),
        ("it's", ["--name", "it's"]),
        ("-x", ["--name=-x"]),
    ):
        view.page.get_by_label("Name", exact=True).fill(name)
        assert command(view, "named") == [*to_teach, *words]
    assert not view.page.is_visible(".teach-do")
    view.page.get_by_role("button", name="Copy the command for normal").click()
    view.until(f"['Copied.', 'Selected: copy it with the keyboard.'].includes({SAID})")


def test_a_click_teaches_through_the_server(tmp_path: Path, open_page: Callable[..., View]) -> None:
    results, notebook = write_results(tmp_path / "out"), Notebook()
    with serving(results, notebook) as server:
        view = open_page(server.url)
        view.page.locator(".teach-open").nth(1).click()
        assert not view.page.is_visible("#teach-normal")
        view.page.get_by_role("button", name="Normal here").click()
        view.until(f"{SAID} === 'Taught 2'")
        assert buttons(view) == ["Teach\u2026", "\u2713 normal"]
        assert view.value("document.activeElement.id") == "teach-do-normal"
        view.page.keyboard.press("Escape")

        view.page.locator(".teach-open").nth(0).click()
        assert view.page.is_disabled("#teach-do-named")
        view.page.get_by_label("Name", exact=True).fill(" <b>van</b> ")
        view.page.keyboard.press("Enter")
        view.until(f"{SAID} === 'Taught 1'")
        first, second = (FIRST + event.peak for event in pages.trace("hall.mp4").events)
        assert notebook.lessons == [(2, second, None), (1, first, "<b>van</b>")]

        view.page.get_by_label("Name", exact=True).fill("ghost")
        view.page.get_by_role("button", name="Keep as an example").click()
        view.until(f"{SAID} === 'there are no ghosts'")
        assert "failed" in view.page.get_attribute("#teach-said", "class")
        view.complaints = [text for text in view.complaints if "409" not in text]
        view.page.reload()
        assert buttons(view) == ["\u2713 <b>van</b>", "\u2713 normal"]
        label = view.page.locator(".teach-open").nth(1).get_attribute("aria-label")
        assert label == "Teach the camera the event at 0:04.0; it was taught as normal"
        view.page.locator(".teach-open").nth(1).click()
    view.page.get_by_role("button", name="Normal here").click()
    view.until(f"{SAID}.includes('is mpn report still running?')")
    view.complaints = [text for text in view.complaints if "ERR_CONNECTION_REFUSED" not in text]


def test_the_keyboard_goes_in_and_comes_back(
    tmp_path: Path, open_page: Callable[..., View]
) -> None:
    view = open_page(write_results(tmp_path / "out") / "report.html")
    view.page.locator(".teach-open").nth(1).focus()
    view.page.keyboard.press("Enter")
    inside = "document.getElementById('teach').contains(document.activeElement)"
    assert view.value(inside)
    view.page.get_by_label("Name", exact=True).focus()
    row = view.row()
    view.page.keyboard.type("n")  # elsewhere it goes to the next event
    assert (view.row(), view.page.input_value("#teach-name")) == (row, "n")
    view.page.keyboard.press("Escape")
    assert not view.page.is_visible("#teach")
    back = "[...document.querySelectorAll('.teach-open')].indexOf(document.activeElement)"
    view.until(f"{back} === 1")


@pytest.mark.parametrize(
    ("judged_by", "words"), [("model", "mpn adapt NORMAL_FOOTAGE"), ("itself", "--save NAME")]
)
def test_without_a_camera_file_it_says_how_to_get_one(
    tmp_path: Path, open_page: Callable[..., View], judged_by: str, words: str
) -> None:
    results = write_results(tmp_path / "out", camera=None, judged_by=judged_by)
    view = open_page(results / "report.html")
    assert buttons(view) == [] and not view.page.get_by_text("Teach\u2026").count()
    said = view.page.inner_text("#teach-none")
    assert words in said and "mpn report RESULTS --serve --camera NAME" in said
    with serving(results, Notebook()) as server:  # --camera was given
        view = open_page(server.url)
        assert buttons(view) == ["Teach\u2026", "Teach\u2026"]
        assert not view.page.is_visible("#teach-none")


BOXES = """(rows) => rows.map((row) => ['.teach-open', 'td.why', '.link'].map((one) => {
  const { left, right, top, bottom } = row.querySelector(one).getBoundingClientRect();
  return { left, right, top, bottom };
}))"""


@pytest.mark.parametrize(
    ("width", "below"), [(360, True), (420, True), (700, True), (1000, True), (1280, False)]
)
def test_the_button_is_in_sight_and_lies_over_nothing(
    tmp_path: Path, open_page: Callable[..., View], width: int, below: bool
) -> None:
    view = open_page(write_results(tmp_path / "out") / "report.html", width)
    rows = view.page.locator("#events-body tr").evaluate_all(BOXES)
    assert len(rows) == 2
    for button, why, start in rows:
        assert 0 <= button["left"] < button["right"] <= width
        assert button["right"] <= why["left"] or why["right"] <= button["left"]
        assert (start["bottom"] <= button["top"]) == below
    view.page.set_viewport_size({"width": 1280 if below else 420, "height": 800})
    moved = "document.querySelectorAll('#events-body th .teach-open').length"
    view.until(f"{moved} === {0 if below else 2}")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_the_dialog_can_be_read(
    tmp_path: Path, open_page: Callable[..., View], theme: str, width: int
) -> None:
    view = open_page(write_results(tmp_path / "out") / "report.html", width, theme=theme)
    button = view.page.locator(".teach-open").nth(1)
    button.scroll_into_view_if_needed()
    box = button.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width  # without scrolling the table
    button.click()
    for failed in ("false", "true"):
        view.value(
            "(() => { const said = document.getElementById('teach-said');"
            f"said.textContent = 'words'; said.classList.toggle('failed', {failed}); }})()"
        )
        found = view.value(CONTRASTS)
        assert [(round(ratio, 2), where) for ratio, where in found if ratio < 4.5] == []
    assert view.value("document.scrollingElement.scrollWidth <= innerWidth")
    box = view.page.locator("#teach").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
