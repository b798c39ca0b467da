"""A config is checked whole: every mistake is a line that says where, and no secret is in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mpn.errors import DataError
from mpn.live.config import (
    EXAMPLE,
    WatchConfig,
    config_of_urls,
    default_camera_file,
    read_config,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "watch.yaml"
    path.write_text(text)
    return path


def mistakes(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(DataError) as caught:
        read_config(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def test_the_example_is_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpn.model.released.released_folders", list)  # no model is there
    config = read_config(write(tmp_path, EXAMPLE))
    assert list(config.cameras) == ["entrance", "yard", "lab"] and config.model is None
    assert config.cameras["entrance"].url == "rtsp://192.168.1.20/stream2"
    assert config.cameras["yard"].fps == 5 and config.cameras["lab"].freeze is True
    assert config.outputs == {"keep": {"days": 14, "gigabytes": 5}}
    # Paths are taken from where the file is.
    assert config.out == tmp_path / "runs/watch"
    assert config.cameras["lab"].camera_file == tmp_path / "lab.camera.safetensors"
    # What is commented out is right, too.
    (tmp_path / "recordings").mkdir()
    (tmp_path / "recordings/lobby.mp4").write_bytes(b"film")
    monkeypatch.setenv("CAMERA_PASSWORD", "s3cret")
    more = EXAMPLE[EXAMPLE.index("  # rehearsal") : EXAMPLE.index("outputs")]
    more = re.sub("(?m)^  # ", "  ", more)
    (address,) = re.findall(r"# from the environment: (.*)", EXAMPLE)
    cameras = f"cameras:\n{more}  gate: {{url: '{address}'}}\n"
    (network,) = re.findall(r"(?m)^# (network: .*)", EXAMPLE)
    config = read_config(write(tmp_path, f"{network}\n{cameras}"))
    assert config.network is True
    assert config.cameras["rehearsal"].url == str(tmp_path / "recordings/lobby.mp4")
    assert config.cameras["gate"].url == "rtsp://viewer:s3cret@192.168.1.20/stream2"


def test_all_mistakes_at_once_each_with_its_place(tmp_path: Path) -> None:
    lines = mistakes(
        tmp_path,
        """
cameras:
  "front door": {url: /dev/video0}
  yard: {url: "ftp://x/y", fps: -1, colour: red}
  gate: {camera_file: gate.st}
freeze: perhaps
false_alarms_per_hour: often
modle: demo
""",
    )
    places = [line.split(": ")[0] for line in lines]
    assert sorted(places) == sorted(
        [
            "cameras.front door.[key]",
            "cameras.yard.url",
            "cameras.yard.fps",
            "cameras.yard.colour",
            "cameras.gate.url",
            "cameras.gate.camera_file",
            "freeze",
            "false_alarms_per_hour",
            "modle",
        ]
    )
    assert all("; " in line or ", " in line for line in lines)  # what to do


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "holds no settings"),
        ("- a\n- b\n", "holds no settings"),
        ("cameras: {}\n", "cameras: "),
        ("cameras: [a]\n", "cameras: "),
        ("cameras: {a: {url: x.mp4}\n", "line 2: is no YAML"),
        ("cameras:\n  a: {url: x.mp4}\n  a: {url: y.mp4}\n", "a comes twice"),
        ("cameras: !!python/object/apply:os.system ['true']\n", "is no YAML"),
        ("cameras: {a: {url: x.mp4}}\nmodel: nothere.safetensors\n", "model: there is no"),
        ("cameras: {a: {url: x.mp4}}\nmodel: nothere\n", "model: nothere is neither"),
        ("cameras: {a: {url: 'rtsp://h:99999/x'}}\n", "cameras.a.url: has no host, or no port"),
        (
            "cameras: {a: {url: x}}\nlearning_minutes: .nan\n",
            "learning_minutes: input should be a f",
        ),
        ("cameras: {a: {url: x, fps: .nan}}\n", "cameras.a.fps: input should be a finite"),
        ('cameras: {a: {url: "a\\0b"}}\n', "cameras.a.url: holds a character"),
        ('cameras: {a: {url: x}}\nout: "a\\0b"\n', "out: holds a character"),
        ('cameras: {a: {camera_file: "\\0.camera.safetensors"}}\n', "camera_file: holds a char"),
        ("cameras: {a: {url: x}}\nout: watch.yaml/x\n", "out: cannot be written ("),
        ("cameras: {a: {url: x}}\nout: /proc/nope\n", "out: cannot be written (No such file"),
        (
            "cameras: {a: {camera_file: watch.yaml/a.camera.safetensors}}\n",
            "cameras.a.camera_file: cannot be written (",
        ),
        ("cameras: {a: {url: x}}\nnetwork: perhaps\n", "network: input should be a valid bool"),
        (
            "cameras: {a: {url: x}}\nmotion_only: true\n",
            "motion_only: is no more: a camera that is learned here is judged by motion alone; "
            "where the network is to be left out of all cameras, write `network: false`",
        ),
        ("cameras: {a: {url: x, motion_only: true}}\n", "cameras.a.motion_only: is not known"),
        ("cameras: {a: {url: '${MPN_NOT_SET}'}}\n", "cameras.a.url: the environment has no MPN"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    assert words in "\n".join(mistakes(tmp_path, text))


def test_what_is_missing_is_said_beside_what_is_wrong(tmp_path: Path) -> None:
    lines = mistakes(
        tmp_path,
        """
cameras:
  gate: {url: gone.mp4, fps: -1}
  hall: {url: 'rtsp://h/${MPN_NOT_SET}', fps: '${MPN_NOT_SET_TOO}'}
  hall: {url: 'rtsp://h/${MPN_NOT_SET}', fps: '${MPN_NOT_SET_TOO}'}
model: nothere.safetensors
freeze: perhaps
""",
    )
    places = [line.split(": ")[0] for line in lines]
    assert places[0] == "line 5" and "hall comes twice" in lines[0]
    assert sorted(places[1:]) == [
        "cameras.gate.fps",
        "cameras.gate.url",
        "cameras.hall.fps",
        "cameras.hall.url",
        "freeze",
        "model",
    ]


def test_what_is_given_goes_before_the_file_and_is_checked_too(tmp_path: Path) -> None:
    path = write(tmp_path, "cameras: {a: {url: /dev/video0}}\nmodel: nothere.safetensors\n")
    assert read_config(path, model="demo", freeze=True).freeze is True
    with pytest.raises(DataError, match="learning_minutes: "):
        read_config(path, model="demo", learning_minutes=1e9)


def test_two_cameras_have_no_file_in_common(tmp_path: Path) -> None:
    file = "hall.camera.safetensors"
    cameras = (f"{name}: {{url: /dev/video{name}, camera_file: ./{file}}}" for name in "12")
    text = "cameras:\n" + "".join(f"  {line}\n" for line in cameras)
    assert mistakes(tmp_path, text) == [
        "cameras.2.camera_file: is that of 1, too; give each camera its own"
    ]


def test_a_file_may_be_the_one_that_another_camera_has_by_default(tmp_path: Path) -> None:
    file = "o/a/a.camera.safetensors"
    for first, second in (("a", "b"), ("b", "a")):  # in any order
        given = {"a": "", "b": f", camera_file: {file}"}
        lines = (f"  {name}: {{url: /dev/video0{given[name]}}}\n" for name in (first, second))
        assert mistakes(tmp_path, f"out: ./o\ncameras:\n{''.join(lines)}") == [
            "cameras.b.camera_file: is that of a, too; give each camera its own"
        ]
    own = f"out: o\ncameras: {{a: {{url: /dev/video0, camera_file: {file}}}}}\n"
    camera = read_config(write(tmp_path, own)).cameras["a"]
    assert camera.camera_file == default_camera_file(tmp_path / "o", "a")
    # The folder that counts is the one that is given.
    path = write(
        tmp_path, f"cameras: {{a: {{url: /dev/video0}}, b: {{url: x, camera_file: {file}}}}}"
    )
    with pytest.raises(DataError, match="cameras.b.camera_file: is that of a, too"):
        read_config(path, out=tmp_path / "o")


def test_nothing_is_left_where_it_was_looked_whether_it_can_be_written(tmp_path: Path) -> None:
    read_config(write(tmp_path, "cameras: {a: {url: /dev/video0}}\nout: o\n"))
    assert [path.name for path in tmp_path.iterdir()] == ["watch.yaml"]


def test_what_is_given_on_the_command_line_is_no_text_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "${X}.safetensors").write_bytes(b"model")
    monkeypatch.setenv("X", "other")
    path = write(tmp_path, "cameras: {a: {url: /dev/video0}}\nmodel: ${MPN_NOT_SET}\n")
    model = str(tmp_path / "${X}.safetensors")
    assert read_config(path, model=model).model == model


def test_a_mistake_does_not_show_the_secret(tmp_path: Path) -> None:
    text = "cameras: {a: {url: 'gopher://me:s3cret@h/x', fps: s3cret}}\nout: [s3cret]\n"
    assert "s3cret" not in "\n".join(mistakes(tmp_path, text))


def test_outputs_are_checked_by_who_knows_them(tmp_path: Path) -> None:
    def check(values: Any, folder: Path) -> tuple[str, list[str]]:
        return "known", [f"outputs.{key}: is not known here" for key in values if key != "webhook"]

    path = write(tmp_path, "cameras: {a: {url: /dev/video0}}\noutputs: {webhook: x, fax: 1}\n")
    with pytest.raises(DataError, match="outputs.fax: is not known here"):
        read_config(path, check)
    path = write(tmp_path, "cameras: {a: {url: /dev/video0}}\noutputs: {webhook: x}\n")
    assert read_config(path, check).outputs == "known"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--example"):
        read_config(tmp_path / "nothing.yaml")


def test_addresses_alone() -> None:
    config = config_of_urls(["rtsp://h/1", "/dev/video0"], out=Path("x"), loop=True)
    assert isinstance(config, WatchConfig) and config.out == Path("x")
    assert {name: one.url for name, one in config.cameras.items()} == {
        "camera-1": "rtsp://h/1",
        "camera-2": "/dev/video0",
    }
    with pytest.raises(DataError, match="cameras.camera-1.url: protocol 'pipe'"):
        config_of_urls(["pipe://0"])


def test_films_that_are_not_there_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"film")
    urls = [str(tmp_path / "there.mp4"), str(tmp_path / "gone.mp4"), str(tmp_path)]
    with pytest.raises(DataError) as caught:
        config_of_urls([*urls, "rtsp://127.0.0.1/nothing"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "camera-2" in lines[0] and "gone.mp4 is not there" in lines[0]
    assert "camera-3" in lines[1] and "mpn score" in lines[1]


def test_an_address_in_the_place_of_a_camera_s_entries_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cameras\.hall: has entries of its own.*`url: \.\.\.`"):
        read_config(write(tmp_path, "cameras:\n  hall: rtsp://127.0.0.1/one\n"))
