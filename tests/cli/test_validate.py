"""`dataflex validate`: every fault at once, in the file's own lines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from support import base_args, offering

from dataflex_cli.main import cli

FAULTY = """\
model_name_or_path: somewhere
stage: sft
do_train: true
lora_rnk: 3
dataset:
  - wrds
  - numbers
dataset_dir: {data}
use_unsloth: true
learning_rate: fast
finetuning_type: lara
dataflex:
  warmup_stps: 3
  update_steps: 0
  selector:
    name: loss
    focus: top
    bost: 3
  mixer: tmperature
"""
EXPECTED = [
    (4, 1, "unknown key lora_rnk"),
    (6, 5, "dataset 'wrds' is not in"),
    (9, 1, "selector loss needs losses of tokens"),
    (10, 1, "learning_rate='fast' is not a number"),
    (11, 1, "finetuning_type='lara' is none of lora, oft, freeze, full"),
    (13, 3, "unknown key dataflex.warmup_stps"),
    (14, 3, "dataflex.update_steps=0"),
    (17, 5, "focus='top'"),
    (18, 5, "no parameter 'bost'"),
    (19, 3, "no mixer is called 'tmperature'"),
]


def _validate(*words):
    return CliRunner().invoke(cli, ["validate", *map(str, words)])


def _json(*words):
    done = _validate(*words, "--json")
    told = json.loads(done.stdout)
    assert told["schema"] == 1
    assert told["valid"] is (done.exit_code == 0)
    assert done.exit_code == (2 if told["faults"] else 0)
    return told["faults"]


@pytest.fixture
def write(tmp_path):
    def to(text, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return to


def test_every_fault_at_once_each_with_its_line(write, data):
    path = write(FAULTY.format(data=data))
    done = _validate(path)
    assert done.exit_code == 2
    lines = done.stdout.splitlines()
    assert len(lines) == len(EXPECTED), "one line a fault"
    for line, (row, column, said) in zip(lines, EXPECTED, strict=True):
        assert line.startswith(f"{path}:{row}:{column}: ")
        assert said in line


def test_the_same_in_json(write, data):
    found = _json(write(FAULTY.format(data=data)))
    assert [(f["line"], f["column"]) for f in found] == [(line, column) for line, column, _ in EXPECTED]
    assert found[0] | {"file": ""} == {
        "message": "unknown key lora_rnk",
        "hint": "did you mean 'lora_rank'?",
        "key": "lora_rnk",
        "file": "",
        "line": 4,
        "column": 1,
    }


def test_a_json_file_has_lines_too(write):
    content = {"model_name_or_path": "m", "do_train": True, "dataflex": {"updats": 3}}
    path = write(json.dumps(content, indent=2), "run.json")
    (fault,) = _json(path, "--quick")
    assert (fault["key"], fault["line"], fault["column"]) == ("dataflex.updats", 5, 5)


@pytest.mark.parametrize(
    ("text", "name", "line"),
    [("a: 1\nb: [1\n", "run.yaml", 3), ("a: 1\n b: 2\n", "run.yaml", 2), ('{\n"a": 1,\n}', "run.json", 3)],
)
def test_where_the_syntax_breaks(write, text, name, line):
    (fault,) = _json(write(text, name))
    assert "is malformed" in fault["message"]
    assert fault["line"] == line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learning_rat=3"], "unknown key learning_rat"),
        (["dataflex.updates=0"], "dataflex.updates=0"),
        (["--selector", "les"], "no selector is called 'les'"),
        (["--selector", "loss", "--set", "selector.focus=top"], "focus='top'"),
        (["--mixer", "doremi"], "reference_model is required"),
    ],
)
def test_what_the_command_line_sets_has_no_line(write, words, said):
    (fault,) = _json(write("model_name_or_path: m\ndo_train: true\ndataflex: {updates: 3}\n"), "--quick", *words)
    assert said in fault["message"]
    assert (fault["file"], fault["line"]) == ("command line", None)


def test_a_setting_that_cannot_be_read_is_at_no_line_of_the_file(write):
    text = "model_name_or_path: m\ndo_train: true\n"
    (fault,) = _json(write(text), "--quick", "--selector", "loss", "--set", "selector.boost=[1")
    assert "cannot be merged" in fault["message"]
    assert fault["line"] is None


def test_a_configuration_may_lie_in_a_folder_that_is_called_after_a_setting(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lr=1e-5").mkdir()
    write("model_name_or_path: m\ndo_train: true\n").rename("lr=1e-5/run.yaml")
    assert _validate("lr=1e-5/run.yaml", "--quick").exit_code == 0


def test_a_list_within_itself_is_one_fault(write):
    (fault,) = _json(write("x: &a [*a]\n"), "--quick")
    assert "recursive" in fault["message"]


def test_a_key_that_is_missing_has_no_line(write):
    (fault,) = _json(write("do_train: true\n"), "--quick")
    assert (fault["key"], fault["line"]) == ("model_name_or_path", None)
    assert fault["file"].endswith("run.yaml")


def test_a_required_parameter_is_missed_where_the_strategy_stands(write):
    text = "model_name_or_path: m\ndo_train: true\ndataflex:\n  mixer:\n    name: doremi\n"
    (fault,) = _json(write(text), "--quick")
    assert fault["line"] == 4


def test_strategies_of_a_file(write):
    write("from dataclasses import dataclass\n@dataclass\nclass Params:\n    k: int = 3\n" + PLUGIN, "dfx_valid.py")
    path = write("model_name_or_path: m\ndo_train: true\ndataflex:\n  selector: {name: mine, k: many}\n")
    plugin = path.with_name("dfx_valid.py")
    (fault,) = _json(path, "--quick", "--plugin", plugin)
    assert "k='many'" in fault["message"]
    (fault,) = _json(path, "--quick")
    assert "no selector is called 'mine'" in fault["message"]


PLUGIN = offering("mine", target="dfx_valid:Mine", params="dfx_valid:Params")


@pytest.mark.parametrize("module", ["torch", "transformers", "llamafactory"])
def test_a_quick_check_imports_none_of_the_heavy_things(write, module):
    path = write("model_name_or_path: m\ndo_train: true\n")
    code = f"import sys\nfrom dataflex_cli.main import cli\ntry: cli(['validate', {str(path)!r}, '--quick'])\n"
    code += f"except SystemExit as stop: assert not stop.code\nassert {module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("changes", "said", "key"),
    [
        ({}, None, None),
        ({"lr_scheduler_type": "cosin"}, "LLaMA-Factory refuses", "lr_scheduler_type"),
        ({"dataflex": {"update_steps": 50, "updates": 1}}, "the pool has 100", "dataflex.update_steps"),
        ({"dataflex": {"warmup_proportions": {"words": 1}}}, "differ in numbers", "dataflex.warmup_proportions"),
        ({"model_name_or_path": "no/model"}, "the data could not be loaded", None),
        ({"resume_from_checkpoint": "nowhere"}, "nowhere does not exist", "resume_from_checkpoint"),
    ],
    ids=str,
)
def test_what_llamafactory_and_the_data_say(write, model, data, tmp_path, changes, said, key):
    args = base_args(model, data, tmp_path / "out", max_steps=30, **changes)
    path = write(json.dumps(args, indent=1), "run.json")
    found = _json(path, "--selector", "random")
    assert not (tmp_path / "out").exists(), "nothing is written"
    if said is None:
        assert found == []
        return
    (fault,) = found
    assert said in fault["message"]
    if key is not None:
        assert fault["key"] == key
        assert f'"{key.split(".")[-1]}"' in path.read_text().splitlines()[fault["line"] - 1]


def test_a_warm_up_beyond_the_run_is_told_before_the_data_is_read(write):
    text = "model_name_or_path: m\ndo_train: true\nmax_steps: 20\ndataflex:\n  warmup_steps: 20\n  mixer: random\n"
    (fault,) = _json(write(text), "--quick")
    assert "no step is left for a decision" in fault["message"]
    assert fault["line"] == 5


def test_notes_are_no_faults_and_have_their_lines(write):
    text = "model_name_or_path: m\ndo_train: true\nmax_steps: 30\ndisable_shuffling: true\n"
    path = write(text + "dataflex:\n  candidates: 2\n  mixer: random\n")
    done = _validate(path, "--quick")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{path}:4:1: note: disable_shuffling has no effect beside a mixer: "
        "the strategies decide what is trained on next (leave it out)",
        f"{path}:6:3: note: dataflex.candidates has no effect without a selector (leave it out)",
        f"{path}: no fault found",
    ]
    told = json.loads(_validate(path, "--quick", "--json").stdout)
    assert told["valid"]
    assert [(note["key"], note["line"]) for note in told["notices"]] == [
        ("disable_shuffling", 4),
        ("dataflex.candidates", 6),
    ]


def test_a_note_of_what_the_data_makes_of_a_decision(write, model, data, tmp_path):
    section = {"warmup_steps": 1, "update_steps": 3, "candidates": 1}
    args = base_args(model, data, tmp_path / "out", cutoff_len=24, max_steps=40, dataflex=section)
    done = _validate(write(json.dumps(args), "run.json"), "--selector", "loss")
    assert done.exit_code == 0
    assert "note: a decision chooses 12 of the 12 samples that it judges" in done.stdout
    assert re.search(
        r"note: \d+ rows \(\d+%\) of words are cut, the first is row \d+ of .*: longer than 24", done.stdout
    )
    assert "note: the run trains on 160 samples, 1.6 times the pool: samples come again" in done.stdout


def test_no_bar_is_drawn_where_there_is_no_terminal(write, model, data, tmp_path):
    path = write(json.dumps(base_args(model, data, tmp_path / "out", max_steps=30)), "run.json")
    env = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"}
    words = [sys.executable, "-m", "dataflex_cli", "validate", str(path), "--selector", "random"]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.endswith(f"{path}: no fault found\n")
    assert "%|" not in done.stderr
    assert "\r" not in done.stderr


REFERRING = """\
from dataclasses import dataclass
from typing import Annotated
from dataflex_core import ReferenceModel, Selection, Selector
@dataclass(frozen=True, kw_only=True)
class Params:
    reference_model: ReferenceModel | None = None
class Mine(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[:request.count])
"""


def test_a_reference_model_that_cannot_be_read_has_its_line(write, model, data, tmp_path):
    offer = offering("mine", target="dfx_refers:Mine", params="dfx_refers:Params")
    plugin = write(REFERRING + offer, "dfx_refers.py")
    (tmp_path / "empty").mkdir()
    args = base_args(model, data, tmp_path / "out")
    args["dataflex"] = {"selector": {"name": "mine", "reference_model": str(tmp_path / "empty")}}
    (fault,) = _json(write(json.dumps(args, indent=1), "run.json"), "--plugin", plugin, "--quick")
    assert fault["message"] == f"selector mine: reference_model {tmp_path / 'empty'} has no config.json"
    assert '"reference_model"' in (tmp_path / "run.json").read_text().splitlines()[fault["line"] - 1]


def test_each_of_several_weighters_has_its_lines(write):
    head = "model_name_or_path: m\ndo_train: true\ndataflex:\n  weighter:\n"
    path = write(head + "    - unifrm\n    - name: loss\n      delta: 0\n    - {name: loss, r: 2}\n")
    found = _json(path, "--quick", "--set", "weighter.2.r=0")
    assert [(f["key"], f["file"] == str(path), f["line"]) for f in found] == [
        ("dataflex.weighter.0.name", True, 5),
        ("dataflex.weighter.1.delta", True, 7),
        ("dataflex.weighter.2.r", False, None),
    ]
    (fault,) = _json(write(head + "    - name: loss\n      delta: 0\n"), "--quick")
    assert (fault["key"], fault["line"]) == ("dataflex.weighter.0.delta", 6)
