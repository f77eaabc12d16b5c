"""LLaMA-Factory's environment variables mean here what they mean there, and ranks trust what they are handed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dataflex_cli import in_ray
from dataflex_cli.launch import Processes, processes, rendezvous
from dataflex_cli.main import cli
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig, RunFailed
from dataflex_core.handover import Handover
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind

# A rank up to where LLaMA-Factory begins, and which of the modules that merge and validate it has imported.
RANK = """
import sys
from types import SimpleNamespace
reached = lambda prepared, report: print(*(chosen.record.id for chosen in prepared.strategies.values()))
sys.modules["dataflex_core.llamafactory.run"] = SimpleNamespace(train=reached)
from dataflex_cli.worker import main
main()
print({"omegaconf", "yaml", "dataflex_core.config.load", "dataflex_core.prepare"} & set(sys.modules))
"""


@pytest.fixture
def handed_over():
    overrides = Overrides(values={"model_name_or_path": "m", "do_train": True}, strategies={Kind.SELECTOR: "loss"})
    return Handover.of(prepare(load_config(None, overrides), discover()), Plugins())


def start_rank(text, folder):
    (folder / "run.json").write_text(text)
    (folder / "errors").mkdir()
    command = [sys.executable, "-c", RANK, str(folder / "run.json"), str(folder / "errors"), str(os.getpid())]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_rank_neither_merges_nor_validates_again(handed_over, tmp_path):
    done = start_rank(handed_over.to_json(), tmp_path)
    assert done.stdout.splitlines() == ["dataflex-strategies/loss", "set()"], done.stderr


def test_a_rank_without_the_plugin_leaves_one_line(handed_over, tmp_path):
    text = handed_over.to_json().replace("dataflex-strategies/loss", "elsewhere/loss")
    assert start_rank(text, tmp_path).returncode == 2
    (left,) = (tmp_path / "errors").iterdir()
    assert json.loads(left.read_text())["message"] == "no selector is called 'elsewhere/loss'"


LAUNCHER = """
import sys
from pathlib import Path
from dataflex_cli.launch import Processes, torchrun
from dataflex_core.errors import DataflexError
from dataflex_core.handover import Handover
run = Handover.from_json(Path("run.json").read_text())
try:
    torchrun(run, Processes(per_node=1, nodes=1, torchrun=True), debug=False)
except DataflexError as error:
    print(error.message)
"""


def test_a_file_in_the_current_folder_is_no_module_of_a_rank(handed_over, tmp_path):
    (tmp_path / "run.json").write_text(handed_over.to_json().replace("dataflex-strategies/loss", "elsewhere/loss"))
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    command = [sys.executable, "-P", "-c", LAUNCHER]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.splitlines()[-1:] == ["no selector is called 'elsewhere/loss'"], done.stderr


def test_a_ray_worker_is_handed_what_the_launcher_validated(handed_over, monkeypatch):
    texts: list[str] = []
    start = SimpleNamespace(remote=lambda text, *others: texts.append(text))
    agent = SimpleNamespace(endpoint=SimpleNamespace(remote=lambda: ("127.0.0.1", 29500)), start=start)
    monkeypatch.setattr(in_ray, "_cluster", lambda args: nullcontext(SimpleNamespace(get=lambda value: value)))
    monkeypatch.setattr(in_ray, "_agents", lambda ray, count: [agent] * count)
    monkeypatch.setattr(in_ray, "_wait", lambda ray, agents: None)
    in_ray.train_in_ray(handed_over, Processes(per_node=2, nodes=1, torchrun=False, ray=True), debug=False)
    assert [Handover.from_json(text) for text in texts] == [handed_over, handed_over]


@pytest.mark.parametrize(
    ("nproc", "env", "expected"),
    [
        (1, {}, Processes(per_node=1, nodes=1, torchrun=False)),
        (3, {}, Processes(per_node=3, nodes=1, torchrun=True)),
        (None, {"NPROC_PER_NODE": "4"}, Processes(per_node=4, nodes=1, torchrun=True)),
        (2, {"NPROC_PER_NODE": "4"}, Processes(per_node=2, nodes=1, torchrun=True)),
        (1, {"FORCE_TORCHRUN": "1"}, Processes(per_node=1, nodes=1, torchrun=True)),
        (1, {"FORCE_TORCHRUN": "0"}, Processes(per_node=1, nodes=1, torchrun=False)),
        (2, {"NNODES": "3"}, Processes(per_node=2, nodes=3, torchrun=True)),
        (1, {"NNODES": "2"}, Processes(per_node=1, nodes=2, torchrun=True)),
    ],
)
def test_processes(nproc, env, expected):
    assert processes(nproc, {}, env) == expected
    assert expected.world == expected.per_node * expected.nodes


@pytest.mark.parametrize("name", ["NNODES", "NPROC_PER_NODE"])
def test_a_variable_that_is_no_number(name):
    with pytest.raises(InvalidConfig, match=name):
        processes(None, {}, {name: "two"})


def test_a_launcher_that_fails_is_one_line(monkeypatch, tmp_path):
    def taken(*args, **options):
        raise OSError("port 29500\nis in use")

    monkeypatch.setattr("dataflex_cli.launch.torchrun", taken)
    (tmp_path / "run.yaml").write_text("model_name_or_path: m\n")
    done = CliRunner().invoke(cli, ["run", str(tmp_path / "run.yaml"), "--nproc", "2"])
    assert isinstance(done.exception, RunFailed)
    assert "OSError: port 29500 is in use" in str(done.exception)


def test_the_address_of_a_node():
    env = {"NODE_RANK": "1", "MASTER_ADDR": "10.1.1.1", "MASTER_PORT": "29511"}
    options = rendezvous(Processes(per_node=2, nodes=3, torchrun=True), env)
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    assert pairs == {
        "--nproc_per_node": "2",
        "--max_restarts": "0",
        "--nnodes": "3",
        "--node_rank": "1",
        "--master_addr": "10.1.1.1",
        "--master_port": "29511",
    }


def test_an_elastic_job():
    env = {"RDZV_ID": "job", "MIN_NNODES": "1", "MAX_NNODES": "4", "MASTER_ADDR": "host", "MASTER_PORT": "29512"}
    options = rendezvous(Processes(per_node=2, nodes=4, torchrun=True), {**env, "MAX_RESTARTS": "3"})
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    assert pairs["--nnodes"] == "1:4"
    assert (pairs["--rdzv_id"], pairs["--rdzv_endpoint"], pairs["--max_restarts"]) == ("job", "host:29512", "3")


def test_several_nodes_need_one_port():
    with pytest.raises(InvalidConfig, match="MASTER_PORT is not set"):
        rendezvous(Processes(per_node=1, nodes=2, torchrun=True), {})


def test_one_node_finds_a_free_port():
    options = rendezvous(Processes(per_node=2, nodes=1, torchrun=True), {})
    assert 1024 <= int(options[options.index("--master_port") + 1]) < 65536
