"""Reports of real runs: what a run keeps for one is what its model saw, and is kept only as far as it may be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import base_args, build_data, journalled, of_kind, train

from dataflex_cli.main import cli
from dataflex_cli.report.build import report_of
from dataflex_cli.report.page import page_of
from dataflex_cli.report.reading import read_run
from dataflex_core.journal import mixed, open_run

pytestmark = pytest.mark.numeric

KINDS = {
    "selector": {"selector": "loss"},
    "mixer": {"mixer": "temperature"},
    "weighter": {"weighter": "loss"},
    "all": {"selector": "loss", "mixer": "temperature", "weighter": "loss"},
}


def args_of(model: Path, data: Path, output: Path, **changes) -> dict:
    return base_args(model, data, output, eval_dataset="held", **changes)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_what_the_model_saw_with_the_rows_they_are_of(kind, model, data, tmp_path):
    output = train(args_of(model, data, tmp_path / "out"), **KINDS[kind])
    seen = read_run(output)
    made = report_of(seen)
    assert made.samples
    trained = {sample for event in of_kind(journalled(output), "step") for sample in event["samples"]}
    for row in made.samples:
        assert row.sample in trained or not row.chosen
        written = json.loads((data / f"{row.dataset}.json").read_text())[row.row - 1]
        roles = [role for role, _ in row.pieces]
        assert roles == ["prompt", "answer"]
        prompt, answer = (text for _, text in row.pieces)
        assert (
            written["instruction"].split()
            == prompt.replace("Human", "")
            .replace("Assistant", "")
            .replace(":", "")
            .split()[: len(written["instruction"].split())]
        )
        assert answer.split()[:-1] == written["output"].split()
        assert 0 < row.trained < row.tokens
    assert len(seen.texts.targets) == 6
    assert made.lengths is not None
    assert made.losses.steps == (2, 4, 6, 8)
    assert bool(made.scores) == ("selector" in KINDS[kind])
    assert page_of(made)


@pytest.mark.parametrize(("kept", "gone"), [("scores", "texts"), ("texts", "scores")])
def test_what_may_not_be_kept_is_not_on_the_disk(kept, gone, model, data, tmp_path):
    keep = {"dataflex": {"keep": {gone: False}}}
    output = train(args_of(model, data, tmp_path / "out") | keep, selector="loss")
    folders = {"texts": ("texts",), "scores": ("pool", "scores")}
    assert not any((output / "dataflex" / name).exists() for name in folders[gone])
    assert all(any((output / "dataflex" / name).iterdir()) for name in folders[kept])
    assert page_of(report_of(read_run(output)))


def test_samples_of_the_target_set_in_the_pool_are_found(model, tmp_path):
    data = build_data(tmp_path / "data")
    rows = json.loads((data / "words.json").read_text())
    rows[5] = json.loads((data / "held.json").read_text())[2]
    (data / "words.json").write_text(json.dumps(rows))
    made = report_of(read_run(train(args_of(model, data, tmp_path / "out"), mixer="temperature")))
    assert (made.leaks.pool, made.leaks.some) == (1, (5,))
    assert made.alerts[0].id == "leak"


@pytest.mark.parametrize("sizes", [(20, 8), (90, 80)])
def test_a_run_that_goes_on_with_other_data_is_told_of_as_that_says(sizes, model, tmp_path):
    data = build_data(tmp_path / "data")
    args = args_of(model, data, tmp_path / "out", save_strategy="steps", save_steps=4)
    train(args, selector="loss", mixer="temperature")
    build_data(data, sizes=dict(zip(("words", "numbers", "held"), (*sizes, 6), strict=True)), seed=1)
    more = {"resume_from_checkpoint": str(tmp_path / "out" / "checkpoint-4"), "overwrite_output_dir": False}
    section = {"dataflex": {"allow_changed": ["data", "schedule"]}}
    seen = read_run(train(args | more | section, selector="loss", mixer="temperature"))
    assert [(made.decision, made.step, made.until) for made in seen.every] == [
        (0, 0, 2),
        (1, 2, 4),
        (1, 4, 5),
        (2, 5, 8),
    ]
    made = report_of(seen)
    assert page_of(made)
    assert (made.run.since, made.run.domains) == (4, dict(zip(("words", "numbers"), sizes, strict=True)))
    assert [(one.decision, one.step) for one in made.decisions] == [(1, 4), (2, 5)]
    assert len(made.scores) == 2
    assert made.samples
    rows = [row for name in ("words", "numbers") for row in json.loads((data / f"{name}.json").read_text())]
    for one in made.samples:
        assert dict(one.pieces)["answer"].startswith(rows[one.sample]["output"]), "of the data that it has now"
    exported = CliRunner().invoke(cli, ["export", str(tmp_path / "out"), "-o", str(tmp_path / "best.jsonl")])
    assert exported.exit_code == 0, exported.output
    found = [json.loads(line) for path in tmp_path.glob("best*.jsonl") for line in path.read_text().splitlines()]
    assert sorted(map(str, found)) == sorted(map(str, (rows[i] for i in set(seen.trace.ids.tolist()))))
    mean = mixed(open_run(tmp_path / "out"))
    assert (mean.steps, set(mean.mean)) == (4, {"words", "numbers"})


def test_a_run_that_goes_on_shows_every_decision_once(model, data, tmp_path):
    args = args_of(model, data, tmp_path / "out", save_strategy="steps", save_steps=4)
    whole = report_of(read_run(train(args, selector="loss")))
    more = {"resume_from_checkpoint": str(tmp_path / "out" / "checkpoint-4"), "overwrite_output_dir": False}
    resumed = report_of(read_run(train(args | more, selector="loss")))
    assert resumed.run.resumes == (4,)
    assert [(row.decision, row.sample, row.why) for row in resumed.samples] == [
        (row.decision, row.sample, row.why) for row in whole.samples
    ]
    assert resumed.repeats == whole.repeats
