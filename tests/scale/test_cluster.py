"""Recordings on a Ray cluster of this machine.

A cluster takes seconds to start, so one test looks at all of it; what workers do is asked without
Ray in the other modules.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from mpn.errors import MpnError
from mpn.scale.cluster import LOCAL, connected

ROOT = Path(__file__).resolve().parent.parent.parent
# What a test run tells the processes that it starts.
TOLD = ("PYTEST_", "COV_")


# Not importorskip: `connected` says how Ray behaves, and that is read when it is imported.
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.slow
def test_an_archive_on_a_cluster_of_this_machine(tmp_path: Path) -> None:
    """In a process of its own: Ray takes over signals, and ends its process where it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(TOLD)}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command += ["--basetemp", str(tmp_path / "own"), "tests/scale/on_a_cluster.py", "-rs"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    if "1 skipped" in ran.stdout:
        pytest.skip(ran.stdout)


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MpnError, match=r"ray is not installed.*pip install 'mpn\[scale\]'"):
        connected(LOCAL).__enter__()


@pytest.mark.parametrize("address", ["recordings", "ray://host:10001", "host", "host:port", ""])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(MpnError, match="is no address of a Ray cluster"):
        connected(address).__enter__()


def test_an_address_where_nobody_is_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for address in (f"127.0.0.1:{port}", "127.0.0.1:99999"):
        with pytest.raises(MpnError, match=f"nothing answers at {address} .*ray start --head"):
            connected(address).__enter__()
