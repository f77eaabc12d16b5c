"""What asks LLaMA-Factory in one process asks for ranks that a launcher starts, be there many devices here or none."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from support import base_args

from dataflex_cli.main import cli
from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig
from dataflex_core.llamafactory.run import dry_run
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind


@pytest.fixture
def config(model, data, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(base_args(model, data, tmp_path / "out", dataflex={"warmup_steps": 2})))
    return path


@pytest.fixture
def devices(monkeypatch):
    """Two devices, of which a process that nobody launched sees both."""
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: 2))
    monkeypatch.setattr("dataflex_cli.launch.device_count", lambda: 2)


WORDS = {"dry run": ["run", "--dry-run"], "validate": ["validate"], "plan": ["plan"]}


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.usefixtures("devices")
def test_commands_that_train_nothing_work_where_there_are_several_devices(name, config):
    command, *flags = WORDS[name]
    done = CliRunner().invoke(cli, [command, str(config), "--selector", "loss", *flags])
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("devices")
def test_a_rank_has_one_of_the_devices(config):
    prepared = prepare(load_config(config, Overrides(strategies={Kind.SELECTOR: "loss"})), discover())
    args = prepared.config.args
    a_rank = args["per_device_train_batch_size"] * args.get("gradient_accumulation_steps", 1)
    assert dry_run(prepared, ranks=2).global_batch == 2 * a_rank


@pytest.mark.usefixtures("devices")
def test_what_one_process_cannot_train_on_is_refused_as_it_will_be(config):
    prepared = prepare(load_config(config, Overrides(strategies={Kind.SELECTOR: "loss"})), discover())
    with pytest.raises(InvalidConfig, match="Please launch distributed training"):
        dry_run(prepared, ranks=1)
