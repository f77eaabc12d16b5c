"""What becomes of a rank whose launcher is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes have other parents")

RANK = """
import signal, sys, time
from pathlib import Path
from dataflex_cli import orphans

orphans.LOOK_EVERY = 0.05
told = Path(sys.argv[1])
signal.signal(signal.SIGTERM, lambda number, frame: (told.with_suffix(".ended").touch(), sys.exit(0)))
time.sleep(float(sys.argv[3]))
orphans.end_without_launcher(int(sys.argv[2]))
told.write_text("it runs")
time.sleep(300)
"""
LAUNCHER = """
import os, subprocess, sys, time
told, rank, lives, begins = sys.argv[1:]
subprocess.Popen([sys.executable, "-c", rank, told, str(os.getpid()), begins])
time.sleep(float(lives))
os._exit(1)
"""


def _is_there(path: Path) -> bool:
    end = time.monotonic() + 240
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.05)
    return path.exists()


def _launched(told: Path, *, lives: float, begins: float) -> subprocess.Popen[bytes]:
    """A launcher that ends after some seconds, of a rank that looks for it from some seconds on."""
    return subprocess.Popen([sys.executable, "-c", LAUNCHER, str(told), RANK, str(lives), str(begins)])


def test_a_rank_whose_launcher_is_killed_is_sent_sigterm(tmp_path):
    told = tmp_path / "rank.runs"
    launcher = _launched(told, lives=300, begins=0)
    assert _is_there(told)
    time.sleep(0.5)
    assert not told.with_suffix(".ended").exists(), "its launcher lives"
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    assert _is_there(told.with_suffix(".ended"))


def test_a_rank_whose_launcher_is_gone_before_it_looks_is_sent_sigterm(tmp_path):
    told = tmp_path / "rank.runs"
    assert _launched(told, lives=0, begins=1).wait() == 1
    assert _is_there(told.with_suffix(".ended"))
