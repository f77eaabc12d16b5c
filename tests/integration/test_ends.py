"""How real runs end, each in a process of its own: whatever becomes of the output, on Ctrl-C, and when they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cases import cases
from support import base_args, journalled

pytestmark = pytest.mark.numeric

# Imports once, whatever a run imports, and forks for each folder in this one, which has a configuration and a hook.
FORKS = """
import gc, json, os, signal, sys
import torch, llamafactory.train.sft.workflow, dataflex_core.trainer.compose, dataflex_strategies.selectors.loss
import dataflex_cli.commands.run, dataflex_cli.tables, dataflex_cli.worker, dataflex_core.llamafactory.run
from dataflex_cli.entry import main

sys.path.insert(0, sys.argv[1])
from support import train

torch.set_num_threads(1)  # a fork has none of the threads that its parent computed with, and would wait for them
train(json.loads(sys.argv[2]), selector="loss")
workflow, trainer = llamafactory.train.sft.workflow, dataflex_core.trainer.base.FlexTrainer

def sent(number):
    def act(*args, **kwargs):
        os.kill(os.getpid(), number)
    return act

def raising(error):
    def act(*args, **kwargs):
        raise error
    return act

def third(act, original=trainer.training_step):
    calls = []
    def step(*args, **kwargs):
        calls.append(None)
        if len(calls) == 3:
            act()
        return original(*args, **kwargs)
    return step

def begin(name):
    os.chdir(name)
    for number in (1, 2):
        kind = open(f"stream-{number}").read()
        if kind == "closed pipe":
            reading, target = os.pipe()
            os.close(reading)
        else:
            target = os.open(kind, os.O_WRONLY | os.O_CREAT)
        os.dup2(target, number)
    exec(open("hook.py").read(), globals())
    sys.argv = ["dataflex", "run", "config.json"]

gc.freeze()
for name in sorted(os.listdir(".")):
    child = os.fork()
    if child == 0:
        break
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    open(f"{name}/code", "w").write(str(code))
else:
    os._exit(0)
begin(name)
main()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run: what is done to it, how it differs, where its streams lead, and the code and first line it ends with."""

    hook: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    streams: tuple[str, str] = ("out", "err")
    code: int = 0
    said: str = ""


ASCII = "sys.stdout.reconfigure(encoding='ascii', errors='strict'); os.environ['COLUMNS'] = '20'"
BARS = {"disable_tqdm": False}
STREAMS = {
    "ASCII and twenty columns": Case(hook=ASCII),
    "a full disk, and a closed pipe": Case(streams=("/dev/full", "closed pipe"), changes=BARS),
    "a closed pipe, and a full disk": Case(streams=("closed pipe", "/dev/full"), changes=BARS),
}
STOPPED = "stopped by SIGINT, without a checkpoint of this step"
CTRL_C = {
    "loading data": Case(hook="workflow.get_dataset = sent(signal.SIGINT)", code=130, said=STOPPED),
    "loading the model": Case(hook="workflow.load_model = sent(signal.SIGINT)", code=130, said=STOPPED),
    "training": Case(hook="trainer.training_step = third(sent(signal.SIGINT))", code=130, said=STOPPED, changes=BARS),
    "saving": Case(hook="torch.save = sent(signal.SIGINT)", code=130, said=STOPPED),
    "the closing table": Case(
        hook="dataflex_cli.tables.print_table = sent(signal.SIGINT)", code=130, said="stopped by Ctrl-C"
    ),
}
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."
FAILURES = {
    "a strategy": Case(
        hook="dataflex_strategies.selectors.loss.LossSelector.choose = raising(ValueError('mine'))",
        code=1,
        said=f"selector loss (dataflex-strategies {version('dataflex-strategies')}), step 2: ValueError: mine, at ",
    ),
    "memory": Case(
        hook=f"trainer.training_step = third(raising(torch.OutOfMemoryError({OUT_OF_MEMORY!r})))",
        code=1,
        said=f"the run failed: OutOfMemoryError: {OUT_OF_MEMORY}",
        changes=BARS,
    ),
    "SIGTERM before training": Case(
        hook="workflow.load_model = sent(signal.SIGTERM)",
        code=143,
        said="stopped by SIGTERM, without a checkpoint of this step",
    ),
    "SIGTERM in training": Case(
        hook="trainer.training_step = third(sent(signal.SIGTERM))", code=143, said="stopped by SIGTERM after step 3: "
    ),
}
CASES = {**STREAMS, **CTRL_C, **FAILURES}
SLOW = ["a closed pipe, and a full disk", "loading data", "saving", "SIGTERM before training"]


def _cases(names):
    return cases(names, slow=[name for name in SLOW if name in names])


@pytest.fixture(scope="module")
def runs(request, model, data, tmp_path_factory):
    """The folder of each run of `CASES` that a test asks for."""
    folder = tmp_path_factory.mktemp("ends")
    ours = [item for item in request.session.items if item.path == request.path]
    asked = {item.callspec.params["name"] for item in ours if hasattr(item, "callspec")} | {"ASCII and twenty columns"}
    for name, case in CASES.items():
        if name not in asked:
            continue
        (folder / name).mkdir()
        args = base_args(model, data, Path("out-folder"), max_steps=4, eval_dataset="held", **case.changes)
        section = {"selector": "loss", "warmup_steps": 2, "update_steps": 3}
        (folder / name / "config.json").write_text(json.dumps({**args, "dataflex": section}))
        (folder / name / "hook.py").write_text(case.hook)
        for number, kind in enumerate(case.streams, start=1):
            (folder / name / f"stream-{number}").write_text(kind)
    first = base_args(model, data, tmp_path_factory.mktemp("first"), max_steps=3, eval_dataset="held")
    done = subprocess.run(
        [sys.executable, "-c", FORKS, str(Path(__file__).parents[1]), json.dumps(first)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: folder / name for name in asked}


def _error_line(folder: Path) -> str:
    """The line on stderr with the error, whole and the only one."""
    lines = (folder / "err").read_text().split("\n")
    (line,) = [line for line in lines if "Error: " in line]
    assert "Traceback" not in lines
    assert line.startswith("Error: "), "on a line of its own"
    return line.removeprefix("Error: ")


@pytest.mark.parametrize("name", _cases(STREAMS))
def test_no_output_fails_a_run(runs, name):
    folder = runs[name]
    assert (folder / "code").read_text() == "0"
    assert (folder / "out-folder" / "adapter_model.safetensors").is_file()
    assert journalled(folder / "out-folder")[-1]["event"] == "end"


def test_twenty_ascii_columns_have_the_whole_table(runs):
    lines = (runs["ASCII and twenty columns"] / "out").read_text().splitlines()
    (row,) = [line.split() for line in lines if line.startswith("numbers ")]
    assert row[1:3] == ["40", "40.0%"]
    assert row[-1].endswith("x")


@pytest.mark.parametrize("name", _cases([*CTRL_C, *FAILURES]))
def test_a_run_that_ends_early_says_so_in_one_line(runs, name):
    folder, case = runs[name], CASES[name]
    assert (folder / "code").read_text() == str(case.code), (folder / "err").read_text()
    assert _error_line(folder).startswith(case.said)


@pytest.mark.parametrize("name", _cases(["loading the model", "training", "saving", *FAILURES]))
def test_its_journal_ends_with_what_ended_it(runs, name):
    folder, case = runs[name], CASES[name]
    events = journalled(folder / "out-folder")
    last = events[-1]
    assert [e["event"] for e in events].count("failed") == 1
    assert (last["event"], last["exit_code"]) == ("failed", case.code)
    told = case.said.removeprefix("the run failed: ").partition(", without a checkpoint")[0]
    assert last["error"].startswith(told)
    assert last["step"] == max((e["step"] for e in events if e["event"] == "step"), default=0)


def test_a_run_that_was_done_has_not_failed(runs):
    assert journalled(runs["the closing table"] / "out-folder")[-1]["event"] == "end"


@pytest.mark.parametrize("name", _cases(["loading data"]))
def test_a_run_that_had_not_begun_has_no_journal(runs, name):
    assert not (runs[name] / "out-folder" / "dataflex" / "journal.jsonl").exists()
