"""A dry run reads what the run will read, tokenised already or not, and saves nothing of it."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from support import base_args, build_data

from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.llamafactory.run import dry_run
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind

STRATEGIES = {"no strategy": {}, "a selector": {Kind.SELECTOR: "random"}, "a weighter": {Kind.WEIGHTER: "loss"}}


def begin(args, folder, strategies):
    """What a dry run would begin with."""
    path = folder / "run.json"
    path.write_text(json.dumps(args | ({"dataflex": {"warmup_steps": 2}} if strategies else {})))
    return dry_run(prepare(load_config(path, Overrides(strategies=strategies)), discover()), ranks=1)


@pytest.mark.parametrize("made", [False, True], ids=["no folder", "an empty folder"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_is_saved_where_tokenized_data_will_be(name, made, model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", eval_dataset="held", tokenized_path=str(tmp_path / "tok"))
    if made:
        (tmp_path / "tok").mkdir()
    start = begin(args, tmp_path, STRATEGIES[name])
    assert sum(start.domains.values()) == 100
    left = {path.name for path in tmp_path.rglob("*")}
    assert left == {"run.json", "tok"} if made else {"run.json"}


def test_a_domain_that_was_tokenised_is_read_as_it_was(model, tmp_path):
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    folder = build_data(tmp_path / "data")
    args = base_args(model, folder, tmp_path / "out", tokenized_path=str(tmp_path / "tok"))
    saved = {**args, "dataset": "words", "tokenized_path": str(tmp_path / "tok-dataflex" / "train" / "words")}
    model_args, data_args, training_args, _, _ = get_train_args(saved)
    tokenizer = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)
    with contextlib.redirect_stdout(io.StringIO()):
        get_dataset(template, model_args, data_args, training_args, stage="sft", **tokenizer)
    for name in ("words", "numbers"):
        file = folder / f"{name}.json"
        file.write_text(json.dumps(json.loads(file.read_text())[:30]))
    assert begin(args, tmp_path, STRATEGIES["a selector"]).domains == {"words": 60, "numbers": 30}
