"""The page over all recordings: what stands out most comes first, with picture and link."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

import mpn
from mpn.errors import MpnError
from mpn.report.overview import MAX_MOMENTS, WIDTH, Scored, write_overview
from mpn.video.overlay import RED
from tests.helpers.recordings import SIZE, recording
from tests.helpers.small_model import write_film
from tests.report.test_from_job import OPTIONS, reported

FAST = (60, 84)
PICTURE = re.compile(r'<img src="data:image/jpeg;base64,([^"]+)"')


@pytest.fixture(scope="module")
def scored(still: Path, tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """A recording in which a board races, its name no markup; nothing of it is to be changed."""
    folder = tmp_path_factory.mktemp("overview")
    path = write_film(folder / "a <b>&.avi", recording(110, FAST))
    detector = mpn.load(still, precision="float32")
    out = reported(detector, path, folder / "out/a b", OPTIONS)
    assert out.summary["events"]
    return Scored(path, folder / "out/a b", out.summary, out.highest)


def page_of(scored: list[Scored], folder: Path, left_out: dict[str, str] | None = None) -> str:
    return write_overview(folder / "index.html", scored, left_out or {}).read_text("utf-8")


def test_each_event_has_its_picture_and_leads_to_its_page(scored: Scored) -> None:
    folder = scored.folder.parent
    page = page_of([scored], folder)
    pictures = [base64.b64decode(one) for one in PICTURE.findall(page)]
    assert len(pictures) == len(scored.summary["events"])
    picture = cv2.imdecode(np.frombuffer(pictures[0], np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape[:2] == (round(SIZE[0] * WIDTH / SIZE[1]), WIDTH)
    red = np.abs(picture.astype(int) - RED).max(-1) < 60
    assert 50 < red.sum() < 0.2 * red.size  # the outline of its region
    links = re.findall(r'<a href="([^"]+)"', page)
    assert "a%20b/report.html#event-1" in links and "a%20b/report.html" in links
    assert (folder / "a b/report.html").is_file()


def test_names_are_text_and_nothing_is_loaded(scored: Scored) -> None:
    page = page_of([scored], scored.folder.parent, {"<i>x": "<script>alert(1)</script>"})
    assert "a &lt;b&gt;&amp;.avi" in page and "<b>&" not in page
    assert "&lt;script&gt;alert(1)" in page and page.count("<script") == 1
    assert "default-src &#39;none&#39;" in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_the_strangest_come_first_whatever_the_order_and_are_not_too_many(
    scored: Scored, tmp_path: Path
) -> None:
    def with_peaks(name: str, *peaks: float) -> Scored:
        event = scored.summary["events"][0] | {"start_seconds": 0.0, "end_seconds": 2.0}
        made = [event | {"peak_score": peak, "start_seconds": 0.0} for peak in peaks]
        return Scored(Path(name), tmp_path / name, scored.summary | {"events": made}, None)

    level = scored.summary["threshold"]["value"]
    page = page_of(
        [with_peaks("one", level + 1, level + 3), with_peaks("two", level + 2)], tmp_path
    )
    order = re.findall(r"score ([\d.]+)</p>", page)
    assert order == [f"{level + up:.2f}" for up in (3, 2, 1)]
    assert page.count("the recording is not there any more") == 3  # nor are the results
    many = page_of([with_peaks("many", *(level + 1 + n / 100 for n in range(40)))], tmp_path)
    assert many.count("card moment") == MAX_MOMENTS and "40 events" in many


def test_where_nothing_stands_out_and_a_place_that_is_none(scored: Scored, tmp_path: Path) -> None:
    calm = Scored(scored.path, scored.folder, scored.summary | {"events": []}, None)
    assert "Nothing stands out" in page_of([calm], tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(MpnError):
        write_overview(tmp_path / "file" / "index.html", [calm], {})
