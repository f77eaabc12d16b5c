"""Living with many plugins, as a shell sees it: one process a command."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from support import base_args, install_plugin, offering


@pytest.fixture
def dataflex(tmp_path):
    """Run the command with ``tmp_path`` on its path."""

    def call(*words, **env):
        path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "dataflex_cli", *map(str, words)]
        env = {**os.environ, "PYTHONPATH": path, **env}
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    return call


@pytest.mark.parametrize("heavy", ["numpy", "pydantic", "torch"])
def test_a_heavy_import_at_declaration_is_named_and_costs_no_strategy(dataflex, tmp_path, heavy):
    install_plugin(tmp_path, "dfx-slow", offering("slow", head=f"import {heavy}"))
    install_plugin(tmp_path, "dfx-quick", offering("quick"))
    told = json.loads(dataflex("list-strategies", "--json").stdout)
    assert {"slow", "quick", "less"} <= {s["name"] for s in told["strategies"]}
    (fault,) = told["faults"]
    assert (fault["distribution"], fault["stage"], fault["withdrawn"]) == ("dfx-slow", "import", False)
    assert heavy in fault["error"]
    assert f"fault: dfx-slow 1.0: dfx-slow = dfx_slow is slow at import: imports {heavy}" in dataflex(
        "list-strategies"
    ).stderr.replace(", numpy", "")


def test_a_name_offered_twice_is_listed_by_its_full_id(dataflex, tmp_path):
    install_plugin(tmp_path, "dfx-twice", offering("less"))
    told = json.loads(dataflex("list-strategies", "--json").stdout)
    assert {s["id"] for s in told["strategies"] if s["ambiguous"]} == {"dataflex-strategies/less", "dfx-twice/less"}
    assert "dfx-twice/less" in dataflex("list-strategies").stdout
    (tmp_path / "run.yaml").write_text("model_name_or_path: m\ndo_train: true\n")
    done = dataflex("run", "run.yaml", "--selector", "less")
    assert done.returncode == 2
    assert "write dataflex-strategies/less or dfx-twice/less" in done.stderr


def test_no_plugins_leaves_installed_ones_out(dataflex, tmp_path):
    install_plugin(tmp_path, "dfx-bad", "raise RuntimeError")
    assert "fault: dfx-bad" in dataflex("list-strategies").stderr
    assert not dataflex("list-strategies", "--no-plugins").stderr
    assert not dataflex("list-strategies", DATAFLEX_DISABLE_PLUGINS="dfx-bad").stderr


def test_a_file_is_named_on_the_command_line(dataflex, tmp_path):
    source = offering("mine", target="mine:Mine", params="mine:Params")
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Params:\n    k: int = 3\nclass Mine:\n    'Mine.'\n"
        + source
    )
    (told,) = json.loads(dataflex("describe", "mine", "--plugin", "./mine.py", "--json").stdout)["strategies"]
    assert (told["id"], told["description"]) == ("mine.py/mine", "Mine.")
    assert [p["name"] for p in told["parameters"]] == ["k"]


LOUD = """
from dataclasses import dataclass
from pathlib import Path
print("a word of welcome")

@dataclass
class Params:
    k: float = float("inf")
    where: Path = Path("a")

class Mine:
    "Mine."
"""


@pytest.mark.parametrize("words", [["describe", "mine", "--json"], ["schema", "--section"]], ids=" ".join)
def test_what_a_strategy_prints_or_defaults_to_spoils_no_json(dataflex, tmp_path, words):
    (tmp_path / "loud.py").write_text(LOUD)
    (tmp_path / "mine.py").write_text(offering("mine", target="loud:Mine", params="loud:Params"))
    done = dataflex(*words, "--plugin", "mine.py")
    json.loads(done.stdout, parse_constant=pytest.fail)
    assert "a word of welcome" in done.stderr


def test_brackets_in_what_a_plugin_says_are_no_markup(dataflex, tmp_path):
    install_plugin(tmp_path, "dfx-odd", offering("odd").replace("summary='", "summary='in [low, high] of [/x] :cat: "))
    assert "in [low, high] of [/x] :cat:" in dataflex("list-strategies").stdout


def test_a_strategy_that_fails_to_import_is_one_line(dataflex, tmp_path):
    (tmp_path / "broken.py").write_text("raise RuntimeError('one\\ntwo')")
    (tmp_path / "mine.py").write_text(offering("mine", target="broken:Mine"))
    done = dataflex("describe", "mine", "--plugin", "mine.py")
    assert done.stderr.splitlines()[0] == "Error: selector mine.py/mine does not load: one two, at broken.py:1"


TRAINED = """
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from dataflex_core import Kind, Selection, Selector, StrategySpec, hookimpl


@hookimpl
def dataflex_strategies():
    yield StrategySpec(
        kind=Kind.SELECTOR, name="mine", target="dfx_trained:Mine", params="dfx_trained:Params", summary="skips"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    skip: Annotated[int, Ge(0)] = 0


class Mine(Selector[Params]):
    def select(self, request):
        skip = self.params.skip
        return Selection(ids=np.sort(request.candidates)[skip : skip + request.count])
"""


@pytest.mark.numeric
def test_a_file_with_parameters_trains_in_a_process_that_torchrun_starts(dataflex, tmp_path, model, data):
    (tmp_path / "dfx_trained.py").write_text(TRAINED)
    section = {"warmup_steps": 1, "update_steps": 2, "updates": 1}
    args = base_args(model, data, tmp_path / "out", max_steps=None, dataflex=section)
    (tmp_path / "run.json").write_text(json.dumps(args))
    flags = ["--plugin", "dfx_trained.py", "--selector", "mine", "--set", "selector.skip=3", "--no-plugins"]
    done = dataflex("run", "run.json", *flags, "--nproc", "1", FORCE_TORCHRUN="1")
    assert done.returncode == 0, done.stderr[-3000:]
    events = [json.loads(line) for line in (tmp_path / "out/dataflex/journal.jsonl").read_text().splitlines()]
    assert events[0]["strategies"][0]["distribution"] == "dfx_trained.py"
    chosen = {name for event in events if event["event"] == "step" and event["step"] > 1 for name in event["samples"]}
    assert chosen == set(range(3, 3 + 8)), "two steps of four, after the three that are skipped"
