"""LLaMA-Factory's environment variables mean here what they mean there."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from dataflex_cli.launch import Processes, processes, rendezvous
from dataflex_cli.main import cli
from dataflex_core.errors import InvalidConfig, RunFailed


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
