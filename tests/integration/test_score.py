"""`dataflex score`: the pool judged without training, as a run and as plain PyTorch judge it."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from architectures import TEXT
from click.testing import CliRunner
from support import base_args, build_model, journalled, losses_by_sample, train

from dataflex_cli.main import cli
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed
from dataflex_core.score_file import open_scores

pytestmark = pytest.mark.numeric

TARGETS = {"eval_dataset": "held,numbers_held"}


@pytest.fixture
def score(tmp_path, monkeypatch):
    """Call the command on a configuration of these arguments; the open file."""
    monkeypatch.setenv("NPROC_PER_NODE", "1")
    monkeypatch.setattr("logging.raiseExceptions", False)

    def call(args, *words, out="scores.parquet"):
        config = tmp_path / "config.json"
        config.write_text(json.dumps(args), encoding="utf-8")
        done = CliRunner().invoke(cli, ["score", str(config), *map(str, words), "-o", str(tmp_path / out)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        call.output = done.output
        return open_scores(tmp_path / out)

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory, model, data):
    """A run with two checkpoints, its learning rates logged at each step."""
    output = tmp_path_factory.mktemp("trained")
    args = base_args(model, data, output, max_steps=4, save_strategy="steps", save_steps=2, logging_steps=1, **TARGETS)
    train(args, selector="loss")
    return output


def test_losses_are_those_of_plain_pytorch_and_rows_are_named(score, model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out")
    file = score(args, "--signal", "losses")
    found = file.read(["id", "score", "domain", "dataset", "file", "row", "digest"])
    wanted = [total / count for total, count in losses_by_sample(args)]
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-5)
    assert found["id"].tolist() == list(range(100))
    assert found["domain"].tolist() == found["dataset"].tolist() == ["words"] * 60 + ["numbers"] * 40
    assert found["row"].tolist() == [*range(1, 61), *range(1, 41)]
    assert {str(data / "words.json"), str(data / "numbers.json")} == set(found["file"])
    assert {len(digest) for digest in found["digest"]} == {32}
    assert file.about.judge == "signal losses"
    assert file.about.dataset_dir == str(data)
    assert not (tmp_path / "scores.parquet.partial").exists()
    assert not (tmp_path / "out").exists(), "nothing of a run is written"


def test_a_checkpoint_judges_as_the_run_did_at_its_step(score, model, data, tmp_path):
    """The first decision of a run, after the steps of a warm-up, and the checkpoint of that step."""
    scored = {}
    args = base_args(model, data, tmp_path / "out", save_strategy="steps", save_steps=2, max_steps=4, **TARGETS)
    with pytest.MonkeyPatch.context() as patch:
        from dataflex_core.planning.judging import Judge

        def kept(judge, request, *args, stock=Judge.scores):
            scored[request.progress.step] = stock(judge, request, *args)
            return scored[request.progress.step]

        patch.setattr(Judge, "scores", kept)
        train(args, selector="less")
    file = score(args, "--selector", "less", "--checkpoint", tmp_path / "out" / "checkpoint-2")
    np.testing.assert_allclose(file.read(["score"])["score"], scored[2].scores, atol=1e-6)
    by_subtask = file.read(["score_held", "score_numbers_held"])
    np.testing.assert_array_equal(np.maximum(*by_subtask.values()), file.read(["score"])["score"])
    assert [(fact.step, fact.weight) for fact in file.about.checkpoints] == [(2, 1.0)]
    assert file.about.targets == ("held", "numbers_held")


def test_a_checkpoint_judges_with_weights_that_lie_there_under_other_names(score, data, tmp_path):
    folder = build_model(tmp_path / "mixtral")
    (folder / "model.safetensors").unlink()
    TEXT["mixtral"].build().save_pretrained(folder)
    changes = {"finetuning_type": "full", "max_steps": 3, "save_steps": 2, "save_strategy": "steps"}
    args = base_args(folder, data, tmp_path / "out", **changes)
    checkpoint = train(args, selector="random") / "checkpoint-2"
    found = score(args, "--signal", "losses", "--checkpoint", checkpoint).read(["score"])
    wanted = [total / count for total, count in losses_by_sample({**args, "model_name_or_path": str(checkpoint)})]
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-4)
    assert "model.layers.0.mlp.gate.weight" in score.output


def test_the_pool_that_is_judged_is_that_of_a_run_without_what_is_held_out(score, model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", max_steps=3, dataflex={"holdout": 0.2})
    found = score(args, "--signal", "losses").read(["id", "score", "domain", "dataset", "row"])
    start = journalled(train(args, selector="random"))[0]
    out = sum(start["holdout"].values())
    assert f"holdout: 0.2 keeps {out} of 100 samples out of training: they are not judged" in score.output
    assert {name: found["domain"].tolist().count(name) for name in start["domains"]} == start["domains"]
    (file,) = (tmp_path / "out" / "dataflex" / "rows").iterdir()
    of_run = open_scores(file).read(["dataset", "row"])
    assert all(found[name].tolist() == of_run[name].tolist() for name in of_run), "an id is the same sample in both"
    every = losses_by_sample(args)
    places = [row - 1 + 60 * (name == "numbers") for name, row in zip(found["dataset"], found["row"], strict=True)]
    np.testing.assert_allclose(found["score"], [every[at][0] / every[at][1] for at in places], rtol=1e-5)


def test_several_checkpoints_are_weighed_by_their_learning_rates(score, trained, model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", **TARGETS)
    first, last = (trained / f"checkpoint-{step}" for step in (2, 4))
    both = score(args, "--selector", "less", "--checkpoint", last, "--checkpoint", first)
    history = json.loads((last / "trainer_state.json").read_text())["log_history"]
    rates = [np.mean([e["learning_rate"] for e in history if e["step"] in steps]) for steps in ((1, 2), (3, 4))]
    weights = [fact.weight for fact in both.about.checkpoints]
    np.testing.assert_allclose(weights, np.array(rates) / sum(rates))
    assert [fact.step for fact in both.about.checkpoints] == [2, 4]
    names = ["score_held", "score_numbers_held"]
    alone = [
        score(args, "--selector", "less", "--checkpoint", one, out="one.parquet").read(names) for one in (first, last)
    ]
    means = [sum(w * one[name] for w, one in zip(weights, alone, strict=True)) for name in names]
    np.testing.assert_allclose(both.read(["score"])["score"], np.maximum(*means), atol=1e-6)


def test_packed_samples_have_a_line_for_each_of_their_rows(score, model, data, tmp_path):
    file = score(base_args(model, data, tmp_path / "out", packing=True), "--signal", "losses")
    found = file.read(["id", "score", "dataset", "row"])
    assert len(np.unique(found["id"])) < len(found["id"])
    pairs = set(zip(found["dataset"].tolist(), found["row"].tolist(), strict=True))
    assert len(pairs) == len(found["id"])
    for one in np.unique(found["id"]):
        assert len(np.unique(found["score"][found["id"] == one])) == 1


def test_what_was_judged_before_is_not_judged_again(score, model, data, tmp_path, monkeypatch):
    from dataflex_core.llamafactory import judge

    args = base_args(model, data, tmp_path / "out", **TARGETS)
    with monkeypatch.context() as patch:
        patch.setattr(judge, "write_scores", lambda *given: (_ for _ in ()).throw(OSError("no space")))
        with pytest.raises(Exception, match=r"could not be written: no space"):
            score(args, "--signal", "losses")
    assert (tmp_path / "scores.parquet.partial").is_dir()
    with monkeypatch.context() as patch:
        patch.setattr("dataflex_core.scoring.model_signals.token_losses", None)
        file = score(args, "--signal", "losses")
    assert "100 samples' results of a pass that was cut short are used" in score.output
    assert np.isfinite(file.read(["score"])["score"]).all()
    assert pq.read_metadata(tmp_path / "scores.parquet").num_rows == 100


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ([], UnmetNeed, "nothing says what to judge by"),
        (["--selector", "random"], UnmetNeed, r"selector random .* gives no scores"),
        (["--selector", "less"], UnmetNeed, "needs a target set"),
        (["--selector", "loss", "--signal", "losses"], InvalidConfig, "exclude each other"),
        (["--signal", "losses", "--checkpoint", "nowhere"], DataError, "nowhere does not exist"),
        (["--signal", "losses", "streaming=true"], DataError, "streaming"),
    ],
)
def test_what_cannot_be_is_said_before_anything_loads(score, model, data, tmp_path, monkeypatch, words, kind, message):
    monkeypatch.chdir(tmp_path)
    words = [word for word in words if "=" in word] + [word for word in words if "=" not in word]
    with pytest.raises(kind, match=message):
        score(base_args(model, data, tmp_path / "out"), *words)


def test_only_a_file_of_scores_is_replaced(score, model, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.parquet").write_text("my own")
    with pytest.raises(InvalidConfig, match="is there, and no file of scores"):
        score(base_args(model, data, tmp_path / "out"), "--signal", "losses")
    assert (tmp_path / "scores.parquet").read_text() == "my own"


@pytest.mark.parametrize("folder", [True, False])
def test_what_somebody_else_has_where_it_works_is_refused_and_left(score, model, data, tmp_path, folder):
    work = tmp_path / "scores.parquet.partial"
    mine = work / "mine.txt" if folder else work
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("my own")
    with pytest.raises(InvalidConfig, match=r"scores\.parquet\.partial.* was not left by dataflex score"):
        score(base_args(model, data, tmp_path / "out"), "--signal", "losses")
    assert mine.read_text() == "my own"


def test_it_names_those_that_score(score, model, data, tmp_path):
    with pytest.raises(UnmetNeed) as caught:
        score(base_args(model, data, tmp_path / "out", **TARGETS), "--selector", "greats")
    names = caught.value.hint.removeprefix("use one that does, as ").split(", ")
    assert {"less", "loss", "icons", "nice"} <= set(names)
    assert not {"greats", "cluster-less", "near", "tsds", "random", "curriculum"} & set(names)


def test_a_checkpoint_without_moments_is_refused_where_they_are_asked_for(score, trained, model, data, tmp_path):
    import shutil

    bare = tmp_path / "checkpoint-4"
    shutil.copytree(trained / "checkpoint-4", bare, ignore=shutil.ignore_patterns("optimizer*", "dataflex"))
    args = base_args(model, data, tmp_path / "out", **TARGETS)
    with pytest.raises(UnmetNeed, match="has no optimizer state"):
        score(args, "--selector", "less", "--checkpoint", bare)
    file = score(args, "--selector", "less", "--set", "selector.gradient=sgd", "--checkpoint", bare)
    assert np.isfinite(file.read(["score"])["score"]).all()


def test_parameters_that_json_lacks_stand_in_the_file(score, model, data, tmp_path):
    (tmp_path / "several.py").write_text("""
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from dataflex_core import Kind, Need, ScoringSelector, StrategySpec, hookimpl


@dataclass(frozen=True, kw_only=True)
class Params:
    names: Annotated[frozenset[str], Doc("of several")] = frozenset({"gamma", "alpha", "beta"})
    place: Annotated[Path, Doc("where they lie")] = Path("there")


class Several(ScoringSelector[Params]):
    def score(self, request, shard):
        return request.signals.losses(shard)


@hookimpl
def dataflex_strategies():
    made = {"target": "several:Several", "params": "several:Params", "summary": "scores"}
    yield StrategySpec(kind=Kind.SELECTOR, name="several", needs={Need.LOSSES}, **made)
""")
    args = base_args(model, data, tmp_path / "out")
    file = score(args, "--selector", "several", "--plugin", tmp_path / "several.py")
    assert file.about.params == {"names": ["alpha", "beta", "gamma"], "place": "there"}
