"""Bars, lines of ours and lines of others on one terminal: nothing is broken in two, and nothing strays."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import pyte
import pytest
from support import base_args

COLUMNS, ROWS = 120, 400

# A training bar with a pass below it, our own lines, and what others print and log, in pieces too.
LIVELY = """
import logging, sys, time
from dataflex_cli.streams import keep_streams_open
keep_streams_open()
from dataflex_cli.console import say
from dataflex_cli.speaking import asked, speaking
with speaking(asked()):
    from tqdm import tqdm
    out, err = (logging.getLogger(name) for name in ("out", "err"))
    out.addHandler(logging.StreamHandler(sys.stdout))
    err.addHandler(logging.StreamHandler(sys.stderr))
    training = tqdm(total=3, desc="training", mininterval=0)
    for step in range(3):
        with tqdm(total=2, desc="losses of pool", mininterval=0, leave=False) as judged:
            for part in range(2):
                judged.update()
                out.warning("[INFO] part %d of step %d", part, step)
                err.warning("to the log: part %d of step %d", part, step)
                print("in", "pieces", step, part)
                print("and", "on", "stderr", step, part, file=sys.stderr)
        say(f"decision {step}: words 60%")
        training.update()
        training.write(str({"loss": step}))
    training.close()
    say("done")
"""


def on_a_terminal(command, folder=None, **env):
    """What a terminal shows in the end: its lines, without those that are blank; and the exit code."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**env), cwd=folder)
    os.close(theirs)
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # nobody has it open any more
            break
        if not data:
            break
        stream.feed(data)
    os.close(ours)
    return [line.rstrip() for line in screen.display if line.strip()], process.wait()


def environment(**env):
    taken = {"TQDM_DISABLE", "COLUMNS", "LINES"}
    return {**{name: value for name, value in os.environ.items() if name not in taken}, "TERM": "xterm", **env}


def expected(step):
    parts = [
        [
            f"[INFO] part {part} of step {step}",
            f"to the log: part {part} of step {step}",
            f"in pieces {step} {part}",
            f"and on stderr {step} {part}",
        ]
        for part in range(2)
    ]
    return [*parts[0], *parts[1], f"DataFlex: decision {step}: words 60%", f"{{'loss': {step}}}"]


def test_every_line_is_whole_and_the_bar_stands_below_them():
    lines, code = on_a_terminal([sys.executable, "-c", LIVELY])
    assert code == 0, lines
    *told, bar, last = lines
    assert told == [line for step in range(3) for line in expected(step)]
    assert bar.startswith("training: 100%|"), "the passes are gone, the training bar is left"
    assert last == "DataFlex: done"


def test_no_bar_and_no_code_reaches_a_file(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        subprocess.run([sys.executable, "-c", LIVELY], env=environment(), stdout=file, stderr=file, check=True)
    text = (tmp_path / "log").read_text()
    assert "\r" not in text
    assert "\x1b" not in text
    assert "|" not in text, "no bar"
    assert sorted(text.splitlines()) == sorted(
        [line for step in range(3) for line in expected(step)] + ["DataFlex: done"]
    )


def test_as_json_standard_output_is_ours_alone():
    done = subprocess.run(
        [sys.executable, "-c", LIVELY], env=environment(DATAFLEX_LOG_FORMAT="json"), capture_output=True, check=True
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["text"] for line in told] == [*(f"decision {step}: words 60%" for step in range(3)), "done"]
    assert all(line == {"event": "message", "level": "info", "text": line["text"], "fields": {}} for line in told)
    assert b"in pieces 0 1\n" in done.stderr


def test_quietly_others_are_heard_where_they_warn():
    quiet = LIVELY.replace("[INFO] part", "[WARNING] part").replace('say("done")', 'say("done", level="result")')
    done = subprocess.run(
        [sys.executable, "-c", quiet], env=environment(DATAFLEX_QUIET="1"), capture_output=True, check=True, text=True
    )
    assert done.stdout == "DataFlex: done\n"
    assert "in pieces" not in done.stderr
    assert done.stderr.count("[WARNING] part") == 6


@pytest.mark.slow
@pytest.mark.numeric
@pytest.mark.parametrize("words", [(), ("--quiet",)], ids=["loud", "quiet"])
def test_a_run_on_a_terminal(model, data, tmp_path, words):
    section = {"warmup_steps": 2, "update_steps": 3}
    args = base_args(
        model,
        data,
        "out",
        disable_tqdm=None,
        eval_dataset="held",
        eval_strategy="steps",
        eval_steps=4,
        dataflex=section,
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps(args))
    command = [sys.executable, "-m", "dataflex_cli", "run", str(path), "--selector", "less", *words]
    lines, code = on_a_terminal(command, tmp_path)
    assert code == 0, lines
    ours = [line for line in lines if "DataFlex" in line]
    assert len(ours) == len(set(ours)), "no message twice"
    assert all(line.startswith("DataFlex") for line in ours)
    assert lines[-1] == "DataFlex: look into it: dataflex report out"
    if words:
        said = ("WARNING", "warn", "deprecated", "DataFlex")
        assert all(any(word in line for word in said) for line in lines), lines
    else:
        assert sum("input_ids:" in line for line in lines) == 1
        assert sum(line.startswith("DataFlex: decision") for line in ours) == 2
        assert not any("it/s" in line and not line.strip().startswith("100%") for line in lines if "/8 [" in line)
