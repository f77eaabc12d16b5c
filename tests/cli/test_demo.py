"""The demo as a user runs it: offline, and LESS clearly enriches the target set's domain, whatever the seed."""

from __future__ import annotations

import shlex
from collections import Counter

import pytest
from click.testing import CliRunner
from support import journalled

from dataflex_cli.demo.write import write_demo
from dataflex_cli.main import cli, main


@pytest.mark.numeric
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_less_enriches_the_targets_domain(tmp_path, monkeypatch, capfd, seed):
    folder = tmp_path / "demo"
    made = CliRunner().invoke(cli, ["init", str(folder), "--seed", str(seed)])
    assert made.exit_code == 0, made.output
    assert str(folder / "config.yaml") in made.output
    monkeypatch.setattr("sys.argv", ["dataflex", "run", str(folder / "config.yaml"), f"seed={seed}"])
    monkeypatch.setattr("logging.raiseExceptions", False)
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    output = capfd.readouterr().out
    events = journalled(folder / "output")
    start = events[0]
    assert (start["steps"], start["decisions"], start["global_batch"]) == (50, 4, 16)
    assert sum(start["domains"].values()) >= 1500
    assert len(start["domains"]) >= 3
    chosen: Counter[str] = Counter()
    for event in events:
        if event["event"] == "decision" and event["decision"]:
            chosen.update(event["chosen"])
    share = start["domains"]["signatures"] / sum(start["domains"].values())
    ratio = chosen["signatures"] / chosen.total() / share
    assert ratio >= 2
    assert f"{ratio:.2f}x" in output
    assert "decision 4 of 4, steps 41 to 50" in output


def test_the_command_to_train_with_it_can_be_copied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(cli, ["init", "my demo"]).stdout
    assert shlex.split(said.splitlines()[-1])[3:] == ["dataflex", "run", str(tmp_path / "my demo" / "config.yaml")]


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_is_none_is_refused(tmp_path, seed):
    assert CliRunner().invoke(cli, ["init", str(tmp_path / "demo"), f"--seed={seed}"]).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", [False, True])
def test_without_a_configuration_a_dry_run_takes_the_demo_and_leaves_nothing(tmp_path, monkeypatch, there):
    monkeypatch.chdir(tmp_path)
    if there:
        write_demo(tmp_path / "dataflex-demo")
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        done = CliRunner().invoke(cli, ["run", "--mixer", "temperature", "--dry-run"])
        assert done.exit_code == 0, done.output
        assert "mixer     temperature" in done.output
        assert "less" not in done.output, "a strategy that is named stands alone"
        assert "pool of 1800 samples" in done.output
        assert ("a temporary folder" in done.output) is not there
    assert sorted(tmp_path.rglob("*")) == before
