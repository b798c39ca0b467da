"""Values are read from any YAML file, or it is said in a line what cannot be."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mpn.errors import DataError
from mpn.live.config_file import DEEPEST, MAX_COPIED, load_values, substituted


def write(folder: Path, text: str) -> Path:
    path = folder / "watch.yaml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(DataError) as caught:
        load_values(path, [])
    return str(caught.value).removeprefix(f"{path}: ")


def test_aliases_that_stand_for_more_than_any_memory_holds_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    began = time.monotonic()
    said = refusal(tmp_path, "\n".join(lines))
    # a1 copies 10 times 11 values, a2 10 times 111, a3 would copy 10 times 1,111.
    assert said.startswith(f"line 4: aliases (*) stand for more than {MAX_COPIED:,} values; ")
    assert time.monotonic() - began < 5


def test_an_alias_of_what_it_is_in_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, "cameras: &all\n  a: {url: x}\n  b: *all\n")
    assert said.startswith("line 3: an alias (*) stands for what it is in; ")


def test_values_too_deep_in_one_another_are_refused(tmp_path: Path) -> None:
    text = "a: &a " + "[" * DEEPEST + "]" * DEEPEST + "\n"
    assert f"line 1: more than {DEEPEST} values" in refusal(tmp_path, text)
    # Also where each piece is not.
    pieces = [f"a{n}: &a{n} {'[' * 20}{f'*a{n - 1}' if n else 'x'}{']' * 20}" for n in range(4)]
    assert "line 3: more than" in refusal(tmp_path, "\n".join(pieces))
    assert "is no YAML" in refusal(tmp_path, "[" * 5000)


def test_a_few_aliases_are_as_if_written_out(tmp_path: Path) -> None:
    text = "cameras:\n  a: &a {url: x, fps: 5}\n  b: {<<: *a, fps: 2}\n  c: *a\n"
    slow, quick = {"url": "x", "fps": 2}, {"url": "x", "fps": 5}
    values = load_values(write(tmp_path, text), [])
    assert values == {"cameras": {"a": quick, "b": slow, "c": quick}}


def test_what_a_merge_brings_in_is_not_there_twice(tmp_path: Path) -> None:
    text = "usual: &usual {fps: 5}\ncameras: {a: &a {<<: *usual, fps: 2}}\nother: {<<: *a}\n"
    mistakes: list[str] = []
    values = load_values(write(tmp_path, text), mistakes)
    assert values["other"] == values["cameras"]["a"] == {"fps": 2} and mistakes == []
    load_values(write(tmp_path, "a: {b: 1,\n b: 2}\n"), mistakes)
    assert mistakes == ["line 2: b comes twice, take one out"]


@pytest.mark.parametrize("key", ["[a, b]", "{a: b}"])
def test_a_key_that_is_no_name(tmp_path: Path, key: str) -> None:
    said = refusal(tmp_path, f"freeze: true\n? {key}\n: 1\n")
    assert said.startswith("line 2: a list or a mapping stands where a name should; ")


@pytest.mark.parametrize("value", ["!!bool x", '!!int ""', "!!timestamp x", "!!float y"])
def test_values_that_their_tags_do_not_fit(tmp_path: Path, value: str) -> None:
    assert "is no YAML" in refusal(tmp_path, f"freeze: {value}\n")


def test_texts_that_nothing_can_be_called(tmp_path: Path) -> None:
    text = 'out: "a\\0b"\ncameras: {a: {url: "\\ud800"}}\nmodel: "häß ${MPN_NOT_SET}"\n'
    mistakes: list[str] = []
    filled = substituted(load_values(write(tmp_path, text), []), mistakes)
    assert [line.split(" a ")[0] for line in mistakes[:2]] == [
        "out: holds",
        "cameras.a.url: holds",
    ]
    assert mistakes[2].startswith("model: the environment has no MPN_NOT_SET")
    # What goes on with them can look for files so called.
    assert not (tmp_path / filled["out"]).exists()
    assert not (tmp_path / filled["cameras"]["a"]["url"]).exists()
