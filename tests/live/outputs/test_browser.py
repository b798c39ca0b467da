"""The page in headless Chromium: cameras, events as they come, the clip, teaching by keyboard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from mpn.live.outputs.journal import Journal
from mpn.live.outputs.page import Page
from mpn.live.outputs.settings import PageConfig
from mpn.live.status import Alarm, State
from tests.helpers.browser import ARGUMENTS, CHROMIUM, View, complains, needs_chromium, playwright
from tests.helpers.fake_cameras import alarm, picture, scores, status, with_files
from tests.report.test_browser_looks import CONTRASTS

pytestmark = [needs_chromium, pytest.mark.browser]
TOKEN = "a-token-of-the-tests"
ROLES = {"button", "link", "combobox", "image", "region", "dialog", "navigation", "textbox"}
WAY = "moves against the usual way <img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as manager:
        running = manager.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


class Told:
    """A page that is served, and what it asked to be taught."""

    def __init__(self, out: Path, **config: Any) -> None:
        self.out = out
        out.mkdir(exist_ok=True)
        self.lessons: list[tuple[str, str | None]] = []
        self.journal = Journal(out)
        self.page = Page(PageConfig(**{"port": 0, **config}), out, teach=self.teach)

    def close(self) -> None:
        self.page.close(5)
        self.journal.close(5)

    def teach(self, alarm: str, name: str | None) -> str:
        self.lessons.append((alarm, name))
        return f"Taught: {name or 'normal here'}"

    def cameras(self, count: int = 16, **states: State) -> None:
        now = time.time()
        names = ["lobby", "yard", *(f"camera {k}" for k in range(3, count + 1))]
        self.page.status(
            {
                name: status(
                    name,
                    states.get(name, State.WATCHING),
                    recent=scores(now, seed=k, peak_at=now - 60 if k == 0 else None),
                )
                for k, name in enumerate(names)
            }
        )

    def event(self, number: int, phase: str = "end", camera: str = "lobby", **more: Any) -> Alarm:
        said = with_files(alarm(number, phase, camera, **more), self.out, seed=number, clip=False)
        if phase == "end":
            said = replace(said, clip=said.snapshot.with_suffix(".webm"))  # type: ignore[union-attr]
            write_clip(said.clip, number)
        self.journal.alarm(said)
        self.page.alarm(said)
        return said


def write_clip(path: Path | None, seed: int) -> None:
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libvpx", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"  # type: ignore[union-attr]
        frame = av.VideoFrame.from_ndarray(picture(seed, (240, 426)), format="bgr24")
        frame = frame.reformat(64, 48)
        for k in range(5):
            frame.pts = k
            film.mux(stream.encode(frame))  # type: ignore[union-attr]
        film.mux(stream.encode())  # type: ignore[union-attr]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    own = Told(tmp_path / "out")
    yield own
    own.close()


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., View]]:
    contexts, views = [], []

    def go(url: str, width: int = 1280, height: int = 860, theme: str = "light") -> View:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        view = View(context.new_page())
        views.append((view, url.partition("?")[0]))
        view.page.on(
            "console", lambda said: view.complaints.append(said.text) if complains(said) else None
        )
        view.page.on("pageerror", lambda error: view.complaints.append(str(error)))
        view.page.on("request", lambda request: view.requests.append(request.url))
        view.page.goto(url)
        return view

    yield go
    complaints = [one for view, _ in views for one in view.complaints]
    loaded = [
        one for view, url in views for one in view.requests if not one.startswith((url, "data:"))
    ]
    for context in contexts:
        context.close()
    assert complaints == [] and loaded == []


def texts(view: View, selector: str) -> list[str]:
    return [" ".join(text.split()) for text in view.page.locator(selector).all_inner_texts()]


def drawn(view: View, camera: int, colour: str) -> int:
    """How many pixels of a camera's strip have a colour of the theme, nearly."""
    return view.value(
        f"""() => {{
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.color = 'var(--{colour})';
  const want = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  probe.remove();
  const canvas = document.querySelectorAll('.strip')[{camera}];
  const d = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let n = 0;
  for (let k = 0; k < d.length; k += 4)
    n += d[k + 3] > 200 && want.every((c, j) => Math.abs(c - d[k + j]) < 24);
  return n;
}}"""
    )


def test_sixteen_cameras_and_events_as_they_come(told: Told, opened: Callable[..., View]) -> None:
    told.cameras(yard=State.FROZEN, **{"camera 3": State.LEARNING})
    view = opened(told.page.url)
    view.until("document.querySelectorAll('.camera').length === 16")
    view.until("document.getElementById('line').textContent === 'live'")
    assert view.page.inner_text("#summary").startswith("16 cameras: 14 watching")
    badges = texts(view, ".camera .badge")
    assert badges[:4] == ["watching", "picture frozen", "learning", "watching"]
    assert drawn(view, 0, "event") > 20 and drawn(view, 3, "event") == 0 < drawn(view, 3, "score")
    assert "· threshold 2 ·" in texts(view, ".camera-foot")[0]
    assert view.page.is_visible("#no-events") and not view.page.is_visible("#how-to-teach")

    told.event(1, "begin", reason={"sentence": WAY}, ended=None)
    view.until("document.querySelectorAll('.event').length === 1")
    assert WAY in texts(view, ".event")[0] and "going on" in texts(view, ".event")[0]
    assert view.page.locator("li.camera.going").count() == 1
    view.until("document.querySelector('.camera .shot img').naturalWidth === 426")
    assert "Event at lobby" in view.page.inner_text("#told")
    # Where it is taught is said before an event is opened.
    assert view.page.is_hidden("#no-events") and "Normal here" in texts(view, "#how-to-teach")[0]
    assert texts(view, "#events .also")[0].startswith("show all cameras")

    told.event(1, reason={"sentence": WAY}, like={"name": "cyclist", "distance": 0.1})
    view.until("!document.querySelector('.event.going, .camera.going')")
    assert "4.2 s · score 3.47" in texts(view, ".event")[0]
    assert "like cyclist" in texts(view, ".event")[0]
    told.event(2, camera="yard", counts=False)
    view.until("document.querySelectorAll('.event').length === 2")
    assert [text.split()[0] for text in texts(view, ".event")] == ["yard", "lobby"]  # newest first
    assert "while learning" in texts(view, ".event")[0]

    tree = view.page.context.new_cdp_session(view.page).send("Accessibility.getFullAXTree")
    used = [
        node for node in tree["nodes"] if not node["ignored"] and node["role"]["value"] in ROLES
    ]
    assert len(used) > 40 and all(node["name"]["value"].strip() for node in used)

    view.page.get_by_role("button", name="lobby", exact=True).click()  # one camera alone
    assert view.page.input_value("#only") == "lobby"
    assert view.page.locator(".event:visible").count() == 1


def test_the_clip_and_teaching_by_keyboard(told: Told, opened: Callable[..., View]) -> None:
    told.cameras(2)
    told.event(1)
    told.event(2)
    view, other = opened(told.page.url), opened(told.page.url)
    for one in (view, other):
        one.until("document.querySelectorAll('.event').length === 2")
    press = view.page.keyboard.press
    for _ in range(20):
        press("Tab")
        if view.value("document.activeElement.className") == "event-open":
            break
    press("Enter")
    assert view.page.get_by_role("dialog").is_visible()
    view.until("document.querySelector('#look video').videoWidth === 64")
    assert "moves right at 128 px/s" in view.page.inner_text("#look-why")
    view.page.focus("#teach-normal")
    press("Enter")
    view.until("document.getElementById('teach-said').textContent === 'Taught: normal here'")
    view.page.focus("#teach-name")
    view.page.keyboard.type("cyclist")
    press("Enter")
    view.until("document.getElementById('teach-said').textContent === 'Taught: cyclist'")
    assert told.lessons == [(alarm(2).id, None), (alarm(2).id, "cyclist")]
    other.until("document.querySelector('.event').textContent.includes('taught: cyclist')")
    press("Escape")
    assert not view.page.get_by_role("dialog").is_visible()
    assert view.value("document.activeElement.className") == "event-open"  # where it was opened


def test_with_a_token_and_after_the_line_was_cut(
    tmp_path: Path, opened: Callable[..., View]
) -> None:
    told = Told(tmp_path / "out", token=TOKEN)
    told.cameras(2)
    view = opened(f"{told.page.url}?token={TOKEN}")
    view.until("document.querySelectorAll('.camera').length === 2")
    assert TOKEN not in view.page.url
    told.event(1)
    view.until("document.querySelectorAll('.event').length === 1")
    told.close()
    view.until("document.getElementById('line').dataset.tone === 'bad'")
    again = Told(tmp_path / "out", token=TOKEN, port=told.page.port)  # `mpn watch` once more
    again.event(2)
    again.cameras(2, yard=State.FROZEN)
    view.until("document.getElementById('line').dataset.tone === 'good'", 15)
    view.until("document.querySelector('.camera .badge[data-tone=bad]')")
    view.until("document.querySelectorAll('.event').length === 2")  # what it had missed, once
    numbers = view.value("[...document.querySelectorAll('.event')].map(e => e.dataset.number)")
    assert numbers == ["2", "1"]
    again.close()
    view.page.close()
    view.complaints.clear()  # Chromium says that the line was cut


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_and_what_can_be_read(told: Told, opened: Callable[..., View], theme: str) -> None:
    told.cameras(yard=State.COVERED, **{"camera 3": State.LEARNING})
    told.event(1)
    told.event(2)
    told.event(3, "begin", counts=False)
    view = opened(told.page.url, 390, 844, theme)
    view.until("document.querySelectorAll('.camera').length === 16")
    view.until("document.querySelectorAll('.event').length === 3")
    assert view.value("document.documentElement.scrollWidth") == 390
    found = view.value(CONTRASTS)
    view.page.locator(".event-open").nth(1).click()
    assert view.value("document.getElementById('look').getBoundingClientRect().right") <= 390
    view.page.fill("#teach-name", "cyclist")
    found += view.value(CONTRASTS)
    assert len(found) >= 10
    assert [(round(ratio, 2), where) for ratio, where in found if ratio < 4.5] == []
