"""`dataflex_cli.run`: a run from Python is the command's, and its journal is what comes back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import base_args, train, weights

import dataflex_cli
from dataflex_core import DataflexError, UsageError
from dataflex_core.journal import End, Run

pytestmark = pytest.mark.numeric

SECTION = {"warmup_steps": 2, "update_steps": 3}


@pytest.fixture(autouse=True)
def _one_process(monkeypatch):
    monkeypatch.setenv("NPROC_PER_NODE", "1")
    monkeypatch.setattr("logging.raiseExceptions", False)


def test_a_run_from_python_is_the_commands(model, data, tmp_path):
    import torch

    wanted = weights(train(base_args(model, data, tmp_path / "wanted"), selector="loss"))
    config = {**base_args(model, data, tmp_path / "out", max_steps=99), "dataflex": {**SECTION, "selector": "random"}}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    run = dataflex_cli.run(path, {"max_steps": 8, "dataflex.keep.scores": False}, {"selector": "loss"})
    assert isinstance(run, Run)
    assert [strategy.name for strategy in run.start.strategies] == ["loss"]
    assert run.step == 8
    assert isinstance(run.end, End)
    found = weights(tmp_path / "out")
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_keys_and_values_will_do_and_strategies_can_be_left_out(model, data, tmp_path):
    args = {**base_args(model, data, tmp_path / "out", max_steps=2), "output_dir": tmp_path / "out"}
    config = {**args, "dataset": ["words"], "dataflex": {**SECTION, "weighter": "loss"}}
    assert dataflex_cli.run(config, strategies={"weighter": None}) is None
    assert weights(tmp_path / "out")


@pytest.mark.parametrize(
    ("config", "strategies", "said"),
    [
        ("nowhere.yaml", {}, "nowhere.yaml does not exist"),
        ({"model_name_or_path": object()}, {}, "not of plain values"),
        ({}, {"selektor": "loss"}, "no kind of strategy 'selektor'"),
        ({}, {"selector": "nosuch"}, "nosuch"),
    ],
)
def test_what_cannot_be_raises_what_the_command_would_say(config, strategies, said):
    with pytest.raises(UsageError, match=said) as error:
        dataflex_cli.run(config, strategies=strategies)
    assert isinstance(error.value, DataflexError)


def test_importing_the_package_is_light():
    code = "import sys, dataflex_cli; print('dataflex_core' in sys.modules, 'click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == [
        "False",
        "False",
    ]
