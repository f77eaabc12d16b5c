"""A rank that is done ends with its own exit code, whatever libraries leave running or registered."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A library that aborts the process when C++ takes it apart, and one with a last word.
RANK = """
import atexit, ctypes, sys, threading, time
from dataflex_cli.leaving import Leaving

def main():
    libc = ctypes.CDLL(None)
    global abort
    abort = ctypes.CFUNCTYPE(None)(libc.abort)
    libc.__cxa_atexit(abort, None, None)
    atexit.register(print, "last word")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    {ends}

Leaving().after(main)
"""


def ended(ends, **streams):
    command = [sys.executable, "-c", RANK.format(ends=ends)]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        command, capture_output=not streams, text=True, timeout=60, check=False, env=buffered, **streams
    )


@pytest.mark.parametrize(
    ("ends", "code"), [("print('trained')", 0), ("sys.exit(0)", 0), ("sys.exit(7)", 7), ("sys.exit('words')", 1)]
)
def test_a_rank_ends_with_its_code(ends, code):
    done = ended(ends)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-2:] == ["thread", "last word"]
    assert ("words" in done.stderr) == ("words" in ends)


def test_an_exception_keeps_its_traceback_and_its_own_end():
    done = ended("raise ValueError('mine')")
    assert done.returncode != 0
    assert "ValueError: mine" in done.stderr


def test_an_output_that_is_full_is_no_failure():
    with open("/dev/full", "w") as full:
        done = ended("print('trained')", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr


BEGUN = """
from dataflex_cli.leaving import Leaving

def main():
    from dataflex_cli.streams import keep_streams_open
    keep_streams_open()
    from tqdm import tqdm
    bar = tqdm(total=3)
    print("the answer is 42", end="")
    bar.close()

Leaving().after(main)
"""


def test_a_line_that_was_begun_while_a_bar_was_up_is_not_lost():
    done = subprocess.run([sys.executable, "-c", BEGUN], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "the answer is 42"
