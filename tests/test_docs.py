"""The documentation: its links lead somewhere, its commands are known, its examples run."""

from __future__ import annotations

import importlib
import re
import shlex
import warnings
from pathlib import Path

import pytest

from mpn import cli
from mpn.version import __version__

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page
    for folder in (".", "docs", "benchmarks", "checkpoints", "data", ".github/ISSUE_TEMPLATE")
    for page in (ROOT / folder).glob("*.md")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")
COMMANDS = {
    "mpn ": "",
    "python -m mpn ": "",
    "python train.py": "train",
    "python evaluate.py": "evaluate",
}


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def links(text: str) -> list[str]:
    """Targets of the links and pictures of a Markdown text, those in code left out."""
    prose = CODE.sub("", FENCE.sub("", text))
    return re.findall(r"\]\(([^()\s]+)\)", prose)


def anchors(text: str) -> set[str]:
    """What the headings of a Markdown text are called in links, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Relative links of a page that lead to no file, or to no heading of one."""
    broken = []
    for target in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        if not path.exists() or (anchor and anchor not in anchors(path.read_text("utf-8"))):
            broken.append(target)
    return broken


def as_command(line: str) -> list[str] | None:
    """The verb and arguments of a line that calls mpn, None for any other line."""
    for start, verb in COMMANDS.items():
        if f"{line} ".startswith(start):
            words = shlex.split(line[len(start) :], comments=True)
            return [verb, *words] if verb else words
    return None


def fenced_commands(text: str) -> list[list[str]]:
    """The calls of mpn in the fenced blocks of a Markdown text, but for those marked as text."""
    return [
        command
        for language, block in FENCE.findall(text)
        if language in ("", "bash", "sh")
        for line in block.splitlines()
        if (command := as_command(line))
    ]


def verb_module(verb: str):  # noqa: ANN201 (a module of mpn.cli)
    return importlib.import_module(f"mpn.cli.{verb}{'_' * (verb == 'import')}")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_and_pictures_lead_somewhere(page):
    assert broken_links(page) == []


def test_a_link_that_leads_nowhere_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# The top\n[a](b.md) ![c](page.md) [d](#the-top) [e](page.md#end) [f](https://x.org)\n"
        "`[g](h.md)`\n"
    )
    assert broken_links(page) == ["b.md", "page.md#end"]


def test_the_readme_is_a_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_versions_agree():
    readme, requirements, citation, changelog = (
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("README.md", "requirements.txt", "CITATION.cff", "CHANGELOG.md")
    )
    (pin,) = re.findall(r"^torch==\S+", requirements, re.MULTILINE)
    assert f"pip install {pin} " in readme
    assert f"\nversion: {__version__}\n" in citation
    assert f"## [{__version__}]" in changelog


@pytest.mark.parametrize("name", ["PROTOCOL", "DESIGN"])
def test_sections_that_the_code_cites_are_in_docs(name):
    text = (ROOT / "docs" / f"{name.lower()}.md").read_text(encoding="utf-8")
    sections = set(re.findall(r"^## (\d+)\. ", text, re.MULTILINE))
    titles = set(re.findall(r"^\*\*(.+?)\.\*\*", text, re.MULTILINE))
    cited = 0
    for folder in ("mpn", "benchmarks", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            code = " ".join(path.read_text(encoding="utf-8").replace("#", " ").split())
            for number, title in re.findall(rf'\b{name},? (?:section )?(?:(\d+)|"([^"]+)")', code):
                cited += 1
                assert (number in sections) or (title in titles), f"{path}: {name} {number}{title}"
    assert cited


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_in_blocks_are_understood(page, monkeypatch):
    for verb, *arguments in fenced_commands(page.read_text(encoding="utf-8")):
        assert verb in cli.VERBS, f"mpn {verb}"
        monkeypatch.setattr(verb_module(verb), "main", lambda options: None)
        assert cli.main([verb, *arguments]) == cli.DONE, f"mpn {verb} {shlex.join(arguments)}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_in_sentences_name_known_options(page):
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for span in CODE.findall(prose):
        command = as_command(" ".join(span.split()))
        if not command or command[0] not in cli.VERBS:
            continue
        options = {*verb_module(command[0]).parser()._option_string_actions, "--threads", "--debug"}
        used = {word for word in command[1:] if word.startswith("--")}
        assert used <= options, span


def test_an_unknown_option_is_noticed(monkeypatch):
    (command,) = fenced_commands("```\nmpn score video.mp4 --no-such-option  # a comment\n```\n")
    with pytest.raises(SystemExit):
        cli.main(command)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_benchmarks_that_are_named_exist(page):
    for name in re.findall(r"-m\s+benchmarks\.(\w+)", page.read_text(encoding="utf-8")):
        assert (ROOT / "benchmarks" / f"{name}.py").is_file(), name


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_in_python_compile(page):
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "python":
            compile(block, page_id(page), "exec")


def test_the_examples_of_meta_learning_run(capsys):
    text = (ROOT / "docs" / "meta-learning.md").read_text(encoding="utf-8")
    blocks = [block for language, block in FENCE.findall(text) if language == "python"]
    session: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for block in blocks:
            exec(compile(block, "docs/meta-learning.md", "exec"), session)
    assert len(session["episode"].ways) == 3
    assert session["task"].scene in ("lobby", "yard")
