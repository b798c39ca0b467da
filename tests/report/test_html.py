"""The page's HTML by the rules of validators: W3C's and html-validate's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mpn.report.model import Teaching
from mpn.report.page import write_report
from tests.helpers import pages

VOID = {"br", "col", "hr", "img", "input", "link", "meta"}
NATIVE_ROLES = {"region", "button", "navigation", "heading", "list", "listitem", "table", "main"}
VALIDATOR = "MPN_HTML_VALIDATE"  # the folder that html-validate is installed in, and perhaps vnu


class Tree(HTMLParser):
    """Elements with what lies in them: tag, attributes, tags of children, text of all below."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[dict] = []
        self._open: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        element = {"tag": tag, "attrs": dict(attrs), "children": [], "text": ""}
        self.elements.append(element)
        for outer in self._open[-1:]:
            outer["children"].append(tag)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.elements.append({"tag": tag, "attrs": dict(attrs), "children": [], "text": ""})

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open[-1]["tag"] == tag, f"</{tag}> closes <{self._open[-1]['tag']}>"
            self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element["text"] += data

    def all(self, *tags: str) -> list[dict]:
        return [element for element in self.elements if element["tag"] in tags]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    report = pages.evaluation(videos=2)
    report.tables.append(pages.Table(["a", "b"], [["x", "1"]], ""))
    report.notes.append("a note")
    report.teaching = Teaching(None, "/out/events.json")
    return write_report(folder / "report.html", report)


@pytest.fixture(scope="module")
def tree(page: Path) -> Tree:
    return Tree(page.read_text("utf-8"))


def test_pictures_have_a_source_and_headings_have_words(tree: Tree) -> None:
    assert tree.all("img") and all(image["attrs"].get("src") for image in tree.all("img"))
    headings = tree.all("h1", "h2", "h3", "h4")
    assert headings and all(heading["text"].strip() for heading in headings)


def test_rows_have_cells(tree: Tree) -> None:
    for group in tree.all("thead"):
        assert "tr" in group["children"]
    heads = [row for row in tree.all("tr") if row["children"]]
    assert heads == tree.all("tr")


def test_no_role_stands_where_an_element_would(tree: Tree) -> None:
    roles = [element["attrs"].get("role") for element in tree.elements]
    assert not NATIVE_ROLES & set(roles)


def test_landmarks_have_names_of_their_own(tree: Tree) -> None:
    with_id = [one for one in tree.elements if "id" in one["attrs"]]
    titles = {one["attrs"]["id"]: one["text"].strip() for one in with_id}
    for tag in ("section", "nav"):
        names = []
        for landmark in tree.all(tag):
            attrs = landmark["attrs"]
            names.append(attrs.get("aria-label") or titles[attrs["aria-labelledby"]])
        assert names and all(names) and max(Counter(names).values()) == 1, Counter(names)


@pytest.mark.skipif(VALIDATOR not in os.environ, reason="html-validate is not installed")
def test_html_validate_finds_nothing(page: Path) -> None:
    folder = Path(os.environ[VALIDATOR])
    rules = {"extends": ["html-validate:recommended"], "root": True}
    page.with_name(".htmlvalidate.json").write_text(json.dumps(rules))
    done = subprocess.run(
        [folder / "node_modules" / ".bin" / "html-validate", "report.html"],
        cwd=page.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.skipif(VALIDATOR not in os.environ, reason="no validators are installed")
def test_the_validator_of_the_w3c_finds_no_error(page: Path) -> None:
    jar = Path(os.environ[VALIDATOR], "node_modules", "vnu-jar", "build", "dist", "vnu.jar")
    if not jar.is_file() or shutil.which("java") is None:
        pytest.skip("vnu-jar or Java is not installed")
    done = subprocess.run(
        ["java", "-Xmx512m", "-jar", jar, "--errors-only", page],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
