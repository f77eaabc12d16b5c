"""What becomes of the output cannot fail a command, and Ctrl-C is 130 in one line whenever it comes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from report_runs import Shape, write_run

# What a run prints that has decided something: domains of any name, a table, a closing line.
TOLD = """
import sys
from dataflex_cli.streams import keep_streams_open
keep_streams_open()
from dataflex_cli.narrator import Narrator
from dataflex_core.journal.events import Decision, Notice, Start, Step, StrategyFact

names = {"w\\u00f6rter": 60, "\\u6570\\u5b66": 40}
selector = StrategyFact(kind="selector", name="loss", distribution="d", version="1")
start = Start(
    run="", strategies=(selector,), domains=names, targets={}, steps=8, warmup_steps=2, update_steps=3, decisions=2,
    global_batch=4, ranks=1, judged=36, decision_cost=1.0, step_cost=0.0, seed=7,
)
decision = Decision(
    decision=1, step=2, until=5, chosen=names, proportions={name: 0.5 for name in names}, judged=36, shortages=(),
    plan="", seconds=0.1,
)
narrator = Narrator()
for event in (start, Notice(text="caf\\u00e9"), decision, Step(step=8, samples=tuple(range(100)))):
    narrator(event, past=False)
narrator.summary()
print("to stderr", file=sys.stderr)
sys.exit(7)
"""
NARROW, WIDE = {"COLUMNS": "20"}, {"COLUMNS": "200"}
LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ASCII = {"PYTHONIOENCODING": "ascii"}


def _environment(**changes):
    removed = {"PYTHONIOENCODING", "PYTHONUTF8", "PYTHONUNBUFFERED", "COLUMNS"}
    return {**{name: value for name, value in os.environ.items() if name not in removed}, **changes}


def _done(source, **changes):
    command = [sys.executable, "-c", source]
    return subprocess.run(
        command, env=_environment(**changes), capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )


def test_the_command_to_look_into_a_run_can_be_copied():
    told = TOLD.replace("Narrator()", "Narrator(output_dir='my out')")
    assert _done(told, **WIDE).stdout.endswith(b"look into it: dataflex report 'my out'\n")


@pytest.mark.parametrize("changes", [ASCII, LOCALE], ids=["ASCII", "LC_ALL=C"])
def test_what_an_encoding_lacks_is_replaced(changes):
    done = _done(TOLD, **WIDE, **changes)
    assert done.returncode == 7, done.stderr
    assert b"DataFlex: done: 8 steps" in done.stdout
    assert b"w?rter  " in done.stdout
    assert done.stderr == b"to stderr\n"


def test_in_twenty_columns_no_name_and_no_number_is_cut():
    done = _done(TOLD, **NARROW)
    assert done.returncode == 7, done.stderr
    table = [line.split() for line in done.stdout.decode().splitlines() if line.split()[-1:] == ["1.00x"]]
    assert table == [["wörter", "60", "60.0%", "60", "60.0%", "1.00x"], ["数学", "40", "40.0%", "40", "40.0%", "1.00x"]]


def _closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return writing


PLACES = {"/dev/full": lambda: os.open("/dev/full", os.O_WRONLY), "a closed pipe": _closed_pipe}


@pytest.mark.parametrize("place", PLACES)
def test_what_cannot_be_written_is_dropped(place):
    for streams in (("stdout",), ("stdout", "stderr")):
        target = PLACES[place]()
        try:
            given = {"stderr": subprocess.PIPE, **dict.fromkeys(streams, target)}
            command = [sys.executable, "-c", TOLD]
            done = subprocess.run(command, env=_environment(), timeout=60, check=False, **given)
        finally:
            os.close(target)
        assert done.returncode == 7
        assert "stderr" in streams or done.stderr == b"to stderr\n"


def test_streams_that_are_closed_from_the_start_are_no_failure():
    command = ["bash", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, TOLD]
    assert subprocess.run(command, env=_environment(), timeout=60, check=False).returncode == 7


SLOW = """
import sys
from dataflex_cli.streams import keep_streams_open
keep_streams_open()
for number in range(20_000):
    print(number)
sys.exit(7)
"""


def test_an_output_that_does_not_block_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen([sys.executable, "-c", SLOW], env=_environment(), stdout=writing, stderr=-1) as process:
        os.close(writing)
        time.sleep(0.5)  # more than a pipe holds is waiting by now; were it not, the test would pass
        with open(reading, encoding="ascii") as file:
            assert [int(line) for line in file] == list(range(20_000))
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (7, b"")


def _command(words, closed="", **changes):
    command = ["bash", "-c", f'exec "$@" {closed}', "bash", sys.executable, "-m", "dataflex_cli", *map(str, words)]
    return subprocess.run(command, env=_environment(**changes), capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"), [(["--version"], 0), (["list-strategies"], 0), (["validate", "none.yaml", "--quick"], 2)]
)
def test_a_command_ends_as_ever_where_streams_are_closed(words, code, closed):
    assert _command(words, closed).returncode == code


@pytest.fixture(scope="module")
def odd_runs(tmp_path_factory):
    """Two runs whose names a narrow encoding lacks, one of them in no encoding at all."""
    folder = tmp_path_factory.mktemp("runs")
    for name in ("\u2713", os.fsdecode(b"caf\xe9")):
        write_run(folder / name, Shape(pool=0))
    return sorted(folder.iterdir())


ENCODINGS = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "strict UTF-8": {"PYTHONIOENCODING": "utf-8:strict"},
    "ASCII": ASCII,
    "LC_ALL=C": LOCALE,
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_command_prints_names_that_the_encoding_lacks(odd_runs, encoding, as_json):
    done = _command(["compare", *odd_runs, *(["--json"] if as_json else [])], **ENCODINGS[encoding])
    assert (done.returncode, done.stderr) == (0, b"")
    assert not as_json or len(json.loads(done.stdout.decode(errors="replace"))["runs"]) == 2


BAR = """
import sys
from dataflex_cli.streams import keep_streams_open
from dataflex_cli.main import show_error
from dataflex_core.errors import DataflexError
keep_streams_open()
{shown}
show_error(DataflexError("it broke", hint="mend it"))
"""
SHOWN = {
    "half a line": ("sys.stderr.write('50%|###'); sys.stderr.flush()", "50%|###\n"),
    "half a line that waits": ("sys.stdout.write('50%|###')", "50%|###\n"),
    "a line that waits": ("print('whole')", "whole\n"),
    "nothing": ("pass", ""),
}


def _in_one_file(path, shown):
    with path.open("wb") as file:
        command = [sys.executable, "-c", BAR.format(shown=shown)]
        subprocess.run(command, env=_environment(), stdout=file, stderr=file, timeout=60, check=True)
    return path.read_text()


@pytest.mark.parametrize("what", SHOWN)
def test_an_error_stands_on_lines_of_its_own_after_what_was_printed_before(tmp_path, what):
    shown, before = SHOWN[what]
    assert _in_one_file(tmp_path / "both", shown) == f"{before}Error: it broke\n       mend it\n"


def test_an_error_stands_on_lines_of_its_own_with_a_bar_up_in_a_file(tmp_path):
    bar = "from tqdm import tqdm; bar = tqdm(total=8, mininterval=0); bar.update(3)"
    lines = _in_one_file(tmp_path / "both", bar).split("\n")
    assert "Error: it broke" in lines
    assert "       mend it" in lines


# SIGINT as soon as one of these modules is about to be imported.
INTERRUPTED = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from dataflex_cli.entry import main
sys.argv = ["dataflex", *{words!r}]
main()
"""
MOMENTS = {
    "as it starts": ("dataflex_cli.main", ["run"]),
    "as click is imported": ("click", ["run"]),
    "as the command is imported": ("dataflex_cli.commands.run", ["run", "config.json"]),
    "as plugins are found": ("dataflex_strategies.plugin", ["run", "config.json"]),
    "in validate": ("dataflex_core.llamafactory.datasets.look", ["validate", "config.json"]),
    "in a dry run": ("torch", ["run", "config.json", "--dry-run"]),
    "as a run imports": ("llamafactory", ["run", "config.json"]),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_is_130_in_one_line(moment, tmp_path, data):
    module, words = MOMENTS[moment]
    text = f'{{"model_name_or_path": "m", "template": "default", "dataset": "words", "dataset_dir": "{data}", '
    text += (
        f'"stage": "sft", "do_train": true, "output_dir": "{tmp_path / "out"}", "dataflex": {{"selector": "loss"}}}}'
    )
    (tmp_path / "config.json").write_text(text)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text("{}")
    command = [sys.executable, "-c", INTERRUPTED.format(module=module, words=words)]
    done = subprocess.run(
        command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.strip().split("\n")
    assert lines[0].startswith("Error: stopped by ")
    assert [line.strip() for line in lines[1:]] in ([], ["run it again where that was not meant"])
    assert not Path(tmp_path / "out").exists()
