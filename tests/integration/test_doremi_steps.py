"""The three runs of DoReMi on three domains, each killed amid a step, gone on with, and reported on."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from killed import gone_on_with
from support import base_args, build_data, build_model, journalled, of_kind, train, weights

from dataflex_cli.main import cli

pytestmark = [pytest.mark.numeric, pytest.mark.slow]

EVEN = {"name": "static", "proportions": [1, 1, 1]}


def _plans(output):
    told = [event for event in journalled(output) if event["event"] in ("decision", "step", "trained", "end")]
    kept = ("event", "step", "plan", "proportions", "loss_weights", "notes", "samples", "losses")
    return [{key: value for key, value in event.items() if key in kept} for event in told]


def test_a_reference_a_proxy_and_the_final_run_go_on_where_they_were_killed(model, tmp_path, monkeypatch):
    data = build_data(tmp_path / "data", sizes={"words": 60, "numbers": 40, "letters": 50})

    def step(folder, mixer):
        return base_args(
            model,
            data,
            tmp_path / folder,
            dataset="words,numbers,letters",
            finetuning_type="full",
            per_device_train_batch_size=2,
            gradient_accumulation_steps=2,
            max_steps=6,
            save_steps=2,
            save_strategy="steps",
            learning_rate=1e-3,
            dataflex={"warmup_steps": 1, "update_steps": 1, "warmup_proportions": "uniform", "mixer": mixer},
        )

    def both(folder, mixer):
        done = gone_on_with(step(folder, mixer), killed_after=3, checkpoint=2, monkeypatch=monkeypatch)
        whole = train(step(f"{folder}-whole", mixer))
        assert _plans(done) == _plans(whole)
        assert len(of_kind(journalled(done), "resume")) == 1
        one, other = weights(done), weights(whole)
        assert all(torch.equal(one[name], other[name]) for name in other)
        page = tmp_path / f"{folder}.html"
        told = CliRunner().invoke(cli, ["report", str(done), "--output", str(page)])
        assert told.exit_code == 0, told.output
        assert all(word in page.read_text(encoding="utf-8") for word in ("letters", mixer["name"]))
        return done

    reference = both("reference", EVEN)
    proxy = both("proxy", {"name": "doremi", "reference_model": str(reference)})
    found = json.loads(CliRunner().invoke(cli, ["proportions", str(proxy), "--json"]).stdout)
    assert found["steps"] == 5
    final = both("final", {"name": "static", "from_run": str(proxy)})
    assert of_kind(journalled(final), "decision")[-1]["proportions"] == pytest.approx(found["mean"])


def test_a_run_that_takes_over_what_a_poor_reference_led_to_says_so(model, data, tmp_path):
    common = {"max_steps": 4, "learning_rate": 1e-2}
    section = {"warmup_steps": 1, "update_steps": 1}
    proxy = {"name": "doremi", "reference_model": str(build_model(tmp_path / "reference", seed=5))}
    train(base_args(model, data, tmp_path / "proxy", **common, dataflex={**section, "mixer": proxy}))
    final = {"name": "static", "from_run": str(tmp_path / "proxy")}
    output = train(base_args(model, data, tmp_path / "final", **common, dataflex={**section, "mixer": final}))
    said = [event["text"] for event in of_kind(journalled(output), "notice")]
    assert any("proxy: the reference model was no better than this run's" in text for text in said)
