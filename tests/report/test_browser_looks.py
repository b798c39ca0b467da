"""The page in headless Chromium: themes, widths, a finger, names for whoever cannot see it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mpn.report.page import write_report
from tests.helpers import pages
from tests.helpers.browser import COUNT, View, needs_chromium

pytestmark = needs_chromium


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_never_scrolls_sideways(
    report: Path, open_page: Callable[..., View], width: int
) -> None:
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


# Every text on the page with its colour and the ground below it, both as they come out: layers are
# put over each other by a canvas.
CONTRASTS = r"""() => {
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const apart = '.hidden, .skip, .screen, svg, noscript, script, select, :disabled';
  const mixed = (...layers) => {
    for (const layer of layers) { pen.fillStyle = layer; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const found = {};
  for (const element of document.querySelectorAll('body *')) {
    if (!element.checkVisibility() || element.closest(apart)) continue;
    const words = (node) => node.nodeType === 3 && node.textContent.trim();
    if (![...element.childNodes].some(words)) continue;
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
    const said = element.textContent.trim().slice(0, 40);
    const where = `${element.tagName}.${element.className}: ${said}`;
    if (!(key in found) || ratio < found[key][0]) found[key] = [ratio, where];
  }
  return Object.values(found);
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read_in_both_themes(
    report: Path, open_page: Callable[..., View], theme: str
) -> None:
    view = open_page(report, theme=theme)
    view.page.click("#help")
    found = view.value(CONTRASTS)
    assert len(found) >= 8
    assert [(round(ratio, 2), where) for ratio, where in found if ratio < 4.5] == []


def test_dark_is_dark_and_the_button_turns_it(report: Path, open_page: Callable[..., View]) -> None:
    view = open_page(report, theme="dark")

    def ground() -> int:
        return sum(
            map(
                int,
                re.findall(r"\d+", view.value("getComputedStyle(document.body).backgroundColor"))[
                    :3
                ],
            )
        )

    assert ground() < 150
    view.page.click("#theme")
    assert ground() > 600
    view.page.emulate_media(color_scheme="light")
    view.page.emulate_media(color_scheme="dark")  # the choice stands
    assert ground() > 600


def test_whatever_can_be_used_has_a_name(view: View) -> None:
    nodes = view.page.context.new_cdp_session(view.page).send("Accessibility.getFullAXTree")[
        "nodes"
    ]
    roles = {
        "button",
        "link",
        "combobox",
        "slider",
        "checkbox",
        "image",
        "region",
        "dialog",
        "table",
        "navigation",
    }
    used = [node for node in nodes if not node["ignored"] and node["role"]["value"] in roles]
    assert len(used) > 40
    assert [
        node["role"]["value"] for node in used if not node.get("name", {}).get("value", "").strip()
    ] == []


def test_the_position_is_said(view: View) -> None:
    view.page.keyboard.press("Home")
    assert view.page.get_attribute("#position", "aria-valuetext") == "0:00.0, score none"
    view.page.keyboard.press("n")
    said = view.page.get_attribute("#position", "aria-valuetext")
    assert re.fullmatch(r"0:0\d\.\d, score [45]\.\d+, above the threshold", said)
    view.until(f"document.getElementById('live').textContent === '{said}'")


@pytest.mark.parametrize("width", [1100, 1280, 1300, 1600])
def test_every_protocol_is_seen_whole_on_a_desktop(
    tmp_path: Path, open_page: Callable[..., View], width: int
) -> None:
    report = pages.evaluation(videos=1)
    names = (
        "flow_speed",
        "frame_difference",
        "frame_number",
        "nearness_to_middle",
        "uniform_noise",
    )
    report.matrix = pages.matrix(dict.fromkeys(names, 0.6))  # those that mpn evaluate has
    view = open_page(write_report(tmp_path / "report.html", report), width)
    assert view.page.locator("#matrix-micro_auc thead tr:last-child th").count() == 2 + 3 + 5
    box = "document.getElementById('matrix-micro_auc')"
    assert view.value(f"{box}.scrollWidth <= {box}.clientWidth")
    heights = "(all) => all.map((one) => one.offsetHeight)"  # an interval stands in one line
    intervals = view.page.locator("#matrix-micro_auc td.number .small").evaluate_all(heights)
    assert len(intervals) == 3 * 6 and max(intervals) < 25
