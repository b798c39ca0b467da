"""The page as text: whole, self-contained, and safe with any names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mpn.errors import DataError
from mpn.metrics import Curve
from mpn.report import page, view
from mpn.report.model import EventRow, Film, Report, Table, Trace
from tests.helpers import pages

VOID = {"meta", "link", "input", "img", "br", "hr", "path", "circle", "rect"}
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u2028 <!--"


class Walk(HTMLParser):
    """Checks that tags are closed in order; keeps elements, ids, headings and the text of
    scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, int]] = []  # tags, and which element each is
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[int, str] = {}
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert tag not in VOID
        assert self.open and self.open.pop()[0] == tag, (
            f"</{tag}> closes something else (line {self.getpos()[0]})"
        )

    def handle_data(self, data: str) -> None:
        place = self.open[-1][1] if self.open else -1
        self.text[place] = self.text.get(place, "") + data

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        """Attributes and own text of every element of a kind."""
        return [
            (attrs, self.text.get(k, ""))
            for k, (name, attrs) in enumerate(self.elements)
            if name == tag
        ]


def written(folder: Path, report: Report, **options: int) -> str:
    return page.write_report(folder / "report.html", report, **options).read_text("utf-8")


def data_of(text: str) -> dict:
    scripts = Walk(text).all("script")
    return json.loads(
        next(content for attrs, content in scripts if attrs.get("id") == "report-data")
    )


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def with_films(folder: Path, videos: int = 2) -> Report:
    """A report with files for films; the page does not look into them."""
    report = pages.evaluation(videos=videos)
    for k, trace in enumerate(report.traces):
        path = folder / f"{k}.webm"
        path.write_bytes(bytes(range(200)) * (k + 1))
        trace.film = Film(path, 25.0, (32, 48), [(0, 1, 150)])
    return report


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("full")
    return written(folder, with_films(folder))


def test_html_is_whole_and_its_references_lead_somewhere(full: str) -> None:
    assert full.startswith("<!DOCTYPE html>")
    walk = Walk(full)
    ids = [attrs["id"] for _, attrs in walk.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    for _, attrs in walk.elements:
        for name in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            assert attrs.get(name) is None or attrs[name] in ids, f"{name}={attrs[name]}"
        href = attrs.get("href") or ""
        assert not href.startswith("#") or href[1:] in ids
    assert walk.all("html")[0][0]["lang"] == "en"
    assert len(walk.all("main")) == len(walk.all("h1")) == 1


def test_headings_skip_no_level_and_pictures_have_words(full: str) -> None:
    walk = Walk(full)
    levels = [int(tag[1]) for tag, _ in walk.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:]))
    images = [attrs for attrs, _ in walk.all("img") if attrs.get("id") != "enlarged-picture"]
    assert images and all(attrs["alt"] for attrs in images)


def test_nothing_is_loaded_from_anywhere(full: str) -> None:
    walk = Walk(full)
    for tag, attrs in walk.elements:
        if attrs.get("src"):
            assert attrs["src"].startswith("data:"), (tag, attrs["src"][:60])
        if tag == "link":
            assert attrs["href"] == "data:,"
        if tag == "a":
            assert attrs["href"].startswith(("#", "./"))
        assert not [name for name in attrs if name.startswith("on")]
    styles = "".join(text for _, text in walk.all("style"))
    assert "@import" not in styles and "url(" not in styles


def test_policy_names_exactly_the_scripts_and_styles_of_the_page(full: str) -> None:
    walk = Walk(full)
    policy = next(
        a["content"]
        for a, _ in walk.all("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == rules["connect-src"] == ["'none'"]
    for directive, tag in (("script-src", "script"), ("style-src", "style")):
        texts = [text for attrs, text in walk.all(tag) if "type" not in attrs]
        sums = [
            f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'"
            for t in texts
        ]
        assert sorted(rules[directive]) == sorted(sums)
    # the policy would drop them
    assert not [attrs for _, attrs in walk.elements if "style" in attrs]


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    report = pages.evaluation()
    report.title = HOSTILE
    report.facts, report.notes, report.further = (
        [(HOSTILE, HOSTILE)],
        [HOSTILE],
        [(HOSTILE, f"javascript:{HOSTILE}")],
    )
    report.tables = [Table([HOSTILE], [[HOSTILE]], HOSTILE)]
    report.traces[0].name = report.activations[0].video = report.activations[0].why = HOSTILE
    report.activations[0].pictures[0].title = report.activations[0].pictures[0].caption = HOSTILE
    report.roc = [(HOSTILE, report.roc[0][1])]
    plain, hostile = Walk(written(tmp_path, pages.evaluation())), written(tmp_path, report)
    walk = Walk(hostile)
    for tag in ("script", "img", "style"):
        assert len(walk.all(tag)) == len(plain.all(tag))
    assert not [attrs for _, attrs in walk.elements if "onerror" in attrs]
    data = data_of(hostile)
    assert data["traces"][0]["name"] == HOSTILE
    assert data["roc"][0]["name"] == HOSTILE
    assert walk.all("title")[0][1] == HOSTILE
    link = walk.all("a")[-1][0]["href"]
    assert link.startswith("./javascript%3A")


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    trace = Trace(b"caf\xe9.mp4".decode("utf-8", "surrogateescape"), np.ones(5))
    assert "caf?.mp4" in written(tmp_path, Report("score", "x", traces=[trace]))


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    scores = np.array([np.nan, 0.25, 1.5, -3.0, np.inf])
    trace = Trace(
        "a",
        scores,
        25.0,
        first=100,
        step=2,
        times=np.array([10.0, 10.5, 12.0, 12.0, 13.0]),
        threshold=1.0,
        labels=[(1, 3)],
        events=[EventRow(2, 3, 2, 1.5, None, False, (1, 2, 3, 4))],
        regions=[(3, 7, 2.5, (5, 6, 7, 8)), (2, 1, 1.5, (1, 2, 3, 4))],
        size=(20, 30),
    )
    found = data_of(written(tmp_path, Report("score", "x", traces=[trace])))["traces"][0]
    np.testing.assert_array_equal(floats(found["scores"]), [np.nan, 0.25, 1.5, -3.0, np.nan])
    times = (
        found["times"]["first"] * 1000
        + np.cumsum(floats(found["times"]["steps"]), dtype=np.float64)
    ) / 1000
    np.testing.assert_allclose(times, trace.times)
    rows = floats(found["regions"]).reshape(-1, 7)
    np.testing.assert_array_equal(rows, [[2, 1, 1.5, 1, 2, 3, 4], [3, 7, 2.5, 5, 6, 7, 8]])
    assert (
        found["events"][0] | {"box": [1, 2, 3, 4], "from": 12.0, "to": 12.0, "oneIn": None}
        == found["events"][0]
    )
    assert (found["first"], found["step"], found["labels"], found["size"]) == (
        100,
        2,
        [[1, 3]],
        [20, 30],
    )


def test_it_begins_at_the_strongest_event_above_its_threshold(tmp_path: Path) -> None:
    quiet = Trace("a", np.arange(9.0), threshold=5.0, events=[EventRow(6, 9, 8, 8.0)])
    loud = Trace(
        "b",
        np.arange(9.0) - 4,
        threshold=0.0,
        events=[EventRow(5, 9, 8, 4.0), EventRow(1, 2, 1, -3.0)],
    )
    data = data_of(written(tmp_path, Report("score", "x", traces=[quiet, loud])))
    assert data["start"] == {"trace": 1, "row": 8}


def test_films_that_do_not_fit_lie_beside_the_page_and_it_says_so(tmp_path: Path) -> None:
    report = with_films(tmp_path, 3)
    sizes = [trace.film.path.stat().st_size for trace in report.traces]
    text = written(tmp_path, report, embed_bytes=sizes[0] + 10)
    walk = Walk(text)
    films = {
        a["id"]: content
        for a, content in walk.all("script")
        if str(a.get("id", "")).startswith("film-")
    }
    assert list(films) == ["film-000"]
    assert base64.b64decode(films["film-000"]) == report.traces[0].film.path.read_bytes()
    data = data_of(text)["traces"]
    assert [bool(trace["film"]["element"]) for trace in data] == [True, False, False]
    for trace, found in zip(report.traces[1:], data[1:]):
        assert (tmp_path / found["film"]["href"]).read_bytes() == trace.film.path.read_bytes()
    assert any(
        "2 of 3 films" in content and "report-files" in content for _, content in walk.all("li")
    )


def test_a_later_report_leaves_no_films_of_an_earlier_one(tmp_path: Path) -> None:
    written(tmp_path, with_films(tmp_path), embed_bytes=0)
    assert len(list((tmp_path / "report-files").iterdir())) == 2
    text = written(tmp_path, with_films(tmp_path))
    assert not list((tmp_path / "report-files").iterdir())
    assert "report-files" not in text.split("<script type")[0]


def test_empty_sections_are_absent(tmp_path: Path, full: str) -> None:
    sections = {
        "timeline",
        "events",
        "videos",
        "figures",
        "protocols",
        "reliability",
        "insides",
        "details",
    }

    def there(text: str) -> set[str]:
        named = (attrs for attrs, _ in Walk(text).all("section") if "aria-labelledby" in attrs)
        return {attrs["id"] for attrs in named}

    assert there(full) == sections
    assert there(written(tmp_path, Report("score", "nothing"))) == set()
    alone = Report("score", "one", traces=[Trace("a", np.full(4, np.nan))])
    assert there(written(tmp_path, alone)) == {"timeline", "events"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: setattr(t, "times", np.ones(3)), "150 scores but 3 times"),
        (
            lambda t: setattr(t, "labels", [(140, 151)]),
            r"label \[140, 151\) is not within its 150 "
            r"rows",
        ),
        (lambda t: setattr(t, "events", [EventRow(7, 7, 7, 1.0)]), r"event \[7, 7\)"),
        (
            lambda t: setattr(t, "film", Film(Path("gone.webm"), 25, (2, 2), [(0, 1, 5)])),
            "gone.webm.*missing",
        ),
        (lambda t: setattr(t, "times", np.r_[np.arange(149.0), 0.0]), "times .* rise"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, change: object, message: str) -> None:
    report = pages.evaluation()
    change(report.traces[0])
    with pytest.raises(DataError, match=message):
        page.write_report(tmp_path / "report.html", report)
    assert not (tmp_path / "report.html").exists()


def test_a_film_of_rows_that_are_not_there_is_refused(tmp_path: Path) -> None:
    report = with_films(tmp_path)
    report.traces[0].film.rows = [(0, 3, 51)]
    with pytest.raises(DataError, match=r"\(0, 3, 51\)"):
        page.write_report(tmp_path / "report.html", report)


def test_precision_recall_points_are_turned_to_rise(tmp_path: Path) -> None:
    curve = Curve(np.array([1.0, 0.5, 0.0]), np.array([0.2, 0.6, 1.0]), np.array([1.0, 2.0]))
    empty = Curve(np.empty(0), np.empty(0), np.empty(0))
    report = Report("evaluate", "x", precision_recall=[("a", curve), ("b", empty)])
    found = data_of(written(tmp_path, report))["precisionRecall"]
    np.testing.assert_array_equal(floats(found[0]["x"]), [0.0, 0.5, 1.0])
    np.testing.assert_allclose(floats(found[0]["y"]), [1.0, 0.6, 0.2], rtol=1e-6)
    np.testing.assert_array_equal(floats(found[0]["thresholds"]), [np.nan, 2.0, 1.0])
    assert found[0]["area"] == pytest.approx(0.5 * 0.8 + 0.5 * 0.4)
    assert found[1]["area"] is None


def test_the_matrix_says_what_a_live_camera_could_have_had() -> None:
    matrix = pages.matrix()
    tables = view.matrix_tables(matrix)
    # the others are undefined
    assert [table.key for table in tables] == ["micro_auc", "macro_auc", "equal_error_rate"]
    table = tables[0]
    assert table.columns == ["region score", "paper's pair", "PSNR", "frame number", "flow speed"]
    assert [row.live for row in table.rows] == [True, True, False, False, False, False]
    assert table.rows[1].cells[0] == ("94.3", "89.3 to 97.3")
    assert table.rows[1].cells[4] == ("96.7", "")
    assert table.rows[0].said == "yes" and table.rows[5].said == "no"
    assert "2.3 frames late" in table.rows[1].said


def test_the_list_of_videos_counts_and_ranks_by_hand() -> None:
    scores = np.array([np.nan, 1.0, 3.0, 2.0, 4.0])
    trace = Trace(
        "a", scores, 2.0, labels=[(2, 3), (4, 5)], events=[EventRow(4, 5, 4, 4.0)], threshold=3.5
    )
    row = view.videos(Report("evaluate", "x", traces=[trace]))[0]
    # Anomalous 3 and 4 against normal 1 and 2: all four pairs in order.
    assert (row.frames, row.length, row.events, row.highest, row.auc) == (
        5,
        "2.5 s",
        1,
        "4",
        "100.0",
    )
    assert str(row.spark).count("spark-label") == 2
    assert view.videos(Report("score", "x", traces=[Trace("b", np.full(3, np.nan))]))[0][1:6] == (
        3,
        "-",
        0,
        "-",
        "-",
    )


def test_the_chart_library_is_the_one_that_its_note_names() -> None:
    folder = Path(page.__file__).parent / "assets" / "uplot"
    rows = re.findall(
        r"^\| `(\S+)` \| `([0-9a-f]{64})` "
        r"\|$",
        (folder / "VERSIONS.md").read_text(),
        re.MULTILINE,
    )
    assert {name for name, _ in rows} == {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"}
    for name, digest in rows:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "(v1.6.32)" in (folder / "uPlot.iife.min.js").read_text()[:100]
