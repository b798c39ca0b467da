"""The benchmark of a GPU, on the processor: what it keeps, goes on with and counts."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import torch

from benchmarks import gpu, gpu_common, gpu_runs
from benchmarks.common import ROOT
from benchmarks.gpu_common import Traffic, share_of_roof, work_of
from mpn.model.network import build_model
from tests.test_bench import operations

QUICK = ["--quick", "--device", "cpu"]


def run(piece, out, *words):
    return gpu.main([piece, *QUICK, "--out", str(out), *words])


def kept(path):
    return json.loads(path.read_text())


@pytest.fixture
def instant(monkeypatch):
    """Measures nothing for long."""
    monkeypatch.setattr(gpu_common, "BLOCKS", 2)


def test_the_quickest_piece_runs_and_is_not_measured_twice(tmp_path, instant, capsys):
    assert run("facts", tmp_path) == gpu.DONE
    first = kept(tmp_path / "facts.json")
    assert first["finished"] and first["quick"] and first["cells"]["machine"]["cuda"] is None
    rates = {name: cell for name, cell in first["cells"].items() if name != "machine"}
    assert len(rates) == 4 * 2 + 3
    assert all(0 < cell["low"] <= cell["per_second"] <= cell["high"] for cell in rates.values())
    capsys.readouterr()
    assert run("facts", tmp_path) == gpu.DONE
    assert kept(tmp_path / "facts.json")["cells"] == first["cells"]
    assert capsys.readouterr().out.count("\n") == 1  # that it is finished


def test_a_piece_whose_time_is_over_is_gone_on_with(tmp_path, instant):
    assert run("facts", tmp_path, "--seconds", "-1") == gpu.NOT_FINISHED
    assert not (tmp_path / "facts.json").exists()
    assert run("facts", tmp_path) == gpu.DONE
    content = kept(tmp_path / "facts.json")
    name = "copy from the device, bytes"
    before = content["cells"].pop(name)
    content["finished"] = False
    (tmp_path / "facts.json").write_text(json.dumps(content))
    assert run("facts", tmp_path) == gpu.DONE
    after = kept(tmp_path / "facts.json")
    assert after["cells"][name] != before and after["finished"]
    assert {k: v for k, v in after["cells"].items() if k != name} == content["cells"]


def test_results_of_another_machine_are_not_gone_on_with(tmp_path, instant):
    run("facts", tmp_path)
    content = kept(tmp_path / "facts.json") | {"device": "NVIDIA Abacus"}
    (tmp_path / "facts.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="of device 'NVIDIA Abacus'.*give another --out"):
        run("facts", tmp_path)


def test_what_a_gpu_has_no_memory_for_is_kept_as_such(tmp_path, instant):
    args = gpu.arguments().parse_args(["facts", *QUICK, "--out", str(tmp_path)])
    piece = gpu_common.Piece("facts", args)

    def full():
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    assert piece.cell("a", full) == {"out_of_memory": "CUDA out of memory."}
    assert kept(tmp_path / "facts.json")["cells"] == {"a": {"out_of_memory": "CUDA out of memory."}}


def test_parity_that_is_missing_fails(tmp_path, monkeypatch, capsys):
    assert run("parity", tmp_path / "a") == gpu.DONE
    cells = kept(tmp_path / "a" / "parity.json")["cells"]
    assert len(cells) == 2 * 3 * 2
    assert all(cell["cosine"] > 0.99 for cell in cells.values())
    assert cells["base, scores, float32"]["relative"] < 1e-6
    assert cells["base, gradients, bfloat16"]["relative"] > 1e-6
    monkeypatch.setitem(gpu.TOLERANCE, "bfloat16", 1e-9)
    assert run("parity", tmp_path / "b") == gpu.FAILED
    assert "base, gradients, bfloat16: " in capsys.readouterr().err


def test_without_a_gpu_it_says_so(tmp_path, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.main(["facts", "--out", str(tmp_path)]) == gpu.FAILED
    assert "device 'cuda' cannot be used" in capsys.readouterr().err


def test_the_shell_script_names_its_usage_and_its_pieces():
    script = ROOT / "benchmarks" / "gpu.sh"
    done = subprocess.run([script, "--what"], capture_output=True, text=True)
    assert done.returncode == 2 and "--dry-run" in done.stdout
    (line,) = [line for line in script.read_text().splitlines() if line.startswith("  pieces=(")]
    assert set(line.strip()[len("pieces=(") : -1].split()) == set(gpu.PIECES)


def test_operations_are_counted_without_computing_them():
    network = build_model("small", channels=4, height=32, width=48).eval()
    work = work_of(network, "float32")
    convolutions = operations(network, torch.zeros(1, 4, 32, 48))
    assert convolutions < work["flops"] < 1.3 * convolutions
    narrow = work_of(network, "bfloat16")
    assert narrow["flops"] == work["flops"] and 0.5 <= narrow["bytes"] / work["bytes"] < 1


def test_traffic_is_what_operations_read_and_write():
    first, other = torch.empty(2, 3, device="meta"), torch.empty(2, 3, device="meta")
    with Traffic() as traffic:
        (first + other).view(6)  # 6 numbers of 4 bytes, three times
        first.relu_()  # read and written
    assert traffic.bytes == 3 * 24 + 2 * 24


def test_the_roof_is_the_lower_of_peak_and_bandwidth():
    work = {"flops": 2e9, "bytes": 1e8}
    shares = share_of_roof(work, 100.0, peak=1e12, bandwidth=2e10)
    assert shares == pytest.approx(
        {
            "share_of_peak": 0.2,
            "share_of_bandwidth": 0.5,
            "frames_at_the_roof_unfused": 200.0,
        }
    )
    assert share_of_roof(work, 100.0, 1e11, 2e10)["frames_at_the_roof_unfused"] == 50.0


def test_a_training_is_gone_on_with_and_evaluated_at_its_end(
    tmp_path, monkeypatch, finished, capsys
):
    called = []

    def mpn(*words, seconds):
        called.append(words)
        run_folder = tmp_path / "base"
        if len(called) == 1:  # its time is over
            run_folder.mkdir()
            (run_folder / "state.pt").touch()
            return None
        if words[0] == "train":
            shutil.copy(finished / "model.safetensors", run_folder)
            shutil.copy(finished / "log.jsonl", run_folder)
        else:
            (run_folder / "evaluation").mkdir()
            (run_folder / "evaluation" / "metrics.json").write_text('{"frames": 20}')
        return 0

    monkeypatch.setattr(gpu_runs, "_mpn", mpn)
    assert run("train", tmp_path) == gpu.NOT_FINISHED
    assert run("train", tmp_path) == gpu.DONE
    assert [words[0] for words in called] == ["train", "train", "evaluate"]
    assert "--resume" not in called[0] and "--resume" in called[1]
    assert set(called[0]) <= set(called[1])
    content = kept(tmp_path / "train.json")
    assert content["cells"]["training"]["steps"] == 21
    assert content["cells"]["evaluation"] == {"frames": 20}
    capsys.readouterr()
    words = ["train", "--device", "cpu", "--out", str(tmp_path / "other"), "--data", "nowhere"]
    assert gpu.main(words) == gpu.FAILED
    assert "no data set at nowhere" in capsys.readouterr().err
