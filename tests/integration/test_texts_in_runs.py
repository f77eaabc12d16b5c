"""Texts of real runs: the weights of tokens that a report shows, and tables of chosen samples in trackers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from support import base_args, train

from dataflex_core.catalog import discover
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig
from dataflex_core.journal import open_run
from dataflex_core.journal.texts import read_texts
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind
from dataflex_core.trainer.weight import WeightTrainer

pytestmark = pytest.mark.numeric

STEEP = Path(__file__).parents[1] / "steep.py"


def kept(output):
    return read_texts(output / "dataflex" / "texts" / f"{open_run(output).start.run}.jsonl")


@pytest.mark.parametrize("keep", [{}, {"scores": False}, {"texts": False}], ids=str)
def test_weights_of_tokens_are_those_that_were_trained_with(model, data, tmp_path, monkeypatch, keep):
    trained, weights = {}, WeightTrainer.weights

    def weighing(self, micro):
        found = weights(self, micro)
        for sample, row, mask in zip(micro.ids.tolist(), found, micro.mask, strict=True):
            trained[self.state.global_step + 1, sample] = row[mask].tolist()
        return found

    monkeypatch.setattr(WeightTrainer, "weights", weighing)
    args = base_args(model, data, tmp_path / "out", dataflex={"keep": keep, "warmup_steps": 0})
    found = kept(train(args, catalog=discover(plugins=Plugins(files=(STEEP,))), weighter="steep"))
    if keep:
        assert found.weighed == []
        return
    assert [one.step for one in found.weighed] == [2] * 4 + [4] * 4 + [6] * 4 + [8] * 4
    rows = [row for name in ("words", "numbers") for row in json.loads((data / f"{name}.json").read_text())]
    for one in found.weighed:
        assert one.weights == pytest.approx(trained[one.step, one.sample], abs=1e-4)
        assert one.weights[0] == 0 < max(one.weights)
        assert "".join(one.tokens).split()[:-1] == rows[one.sample]["output"].split()
        assert one.sample in found.samples


@pytest.mark.parametrize("packing", ["packing", "neat_packing"])
def test_tokens_of_packed_samples_have_the_weights_that_they_were_trained_with(
    model, data, tmp_path, monkeypatch, packing
):
    trained, weights = {}, WeightTrainer.weights

    def weighing(self, micro):
        found = weights(self, micro)
        apart = micro.apart()
        count = Counter()
        rows = zip(apart.ids.tolist(), apart.mask, found[micro.pieces.rows], strict=True)
        for sample, mask, row in rows:
            count[sample] += 1
            trained[self.state.global_step + 1, sample, count[sample]] = row[mask].tolist()
        return found

    monkeypatch.setattr(WeightTrainer, "weights", weighing)
    more = {"packing": True, "cutoff_len": 48, packing: True, "max_steps": 4, "dataflex": {"warmup_steps": 0}}
    args = base_args(model, data, tmp_path / "out", **more)
    found = kept(train(args, catalog=discover(plugins=Plugins(files=(STEEP,))), weighter="steep"))
    assert len(found.weighed) > 4
    assert {one.part for one in found.weighed} >= {1, 2}
    assert not any(text.cut for text in found.samples.values()), "all packed samples are as long as fits"
    for one in found.weighed:
        assert one.weights == pytest.approx(trained[one.step, one.sample, one.part], abs=1e-4)
        assert one.weights[0] == 0 < max(one.weights)
        answers = "".join(piece.text for piece in found.samples[one.sample].pieces if piece.role == "answer")
        assert " ".join("".join(one.tokens).split()) in " ".join(answers.replace("</s>", " </s> ").split())


def test_weights_of_samples_are_none_of_tokens(model, data, tmp_path):
    assert kept(train(base_args(model, data, tmp_path / "out", max_steps=4), weighter="loss")).weighed == []


def test_a_run_that_goes_on_in_another_folder_shows_what_it_showed_before(model, data, tmp_path):
    changes = {"max_steps": 8, "save_strategy": "steps", "save_steps": 4}
    first = train(base_args(model, data, tmp_path / "out", **changes), selector="loss")
    resume = {"resume_from_checkpoint": str(first / "checkpoint-4")}
    other = train(base_args(model, data, tmp_path / "other", **changes, **resume), selector="loss")
    shown = {(one.decision, one.step, one.sample) for one in kept(other).shown}
    assert {decision for decision, _, _ in shown} == {made.decision for made in open_run(other).decisions}
    assert {one.sample for one in kept(other).shown} <= set(kept(other).samples)
    early = {one for one in shown if one[1] < 4}
    assert early == {(one.decision, one.step, one.sample) for one in kept(first).shown if one.step < 4}


def on_board(folder):
    """The tables in TensorBoard's own file, by step: lists of cells."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = folder.rglob("events.out.tfevents.*")
    board = EventAccumulator(str(file))
    board.Reload()
    found = {}
    for each in board.Tensors("dataflex/chosen/text_summary") if "dataflex/chosen/text_summary" in _tags(board) else ():
        lines = each.tensor_proto.string_val[0].decode().splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        found[each.step] = [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]
    return found


def _tags(board):
    return board.Tags()["tensors"]


def in_mlflow(folder):
    """Likewise in MLflow's local store."""
    found = {}
    for path in folder.rglob("artifacts/dataflex/chosen/step-*.json"):
        table = json.loads(path.read_text())
        rows = [dict(zip(table["columns"], map(str, row), strict=True)) for row in table["data"]]
        found[int(path.stem.partition("-")[2])] = rows
    return found


@pytest.mark.parametrize(("tracker", "read"), [("tensorboard", on_board), ("mlflow", in_mlflow)])
@pytest.mark.parametrize("count", [3, pytest.param(None, marks=pytest.mark.slow)])
def test_trackers_show_chosen_texts_where_that_is_asked_for(model, data, tmp_path, monkeypatch, tracker, read, count):
    pytest.importorskip(tracker, reason=f"{tracker} is not installed")
    pytest.importorskip("pandas")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    more = {"report_to": tracker, "logging_dir": str(tmp_path / "board"), "dataflex": {"report_texts": count}}
    run = open_run(train(base_args(model, data, tmp_path / "out", **more), selector="loss"))
    found = read(tmp_path)
    if count is None:
        assert found == {}
        return
    assert sorted(found) == [made.step for made in run.decisions]
    rows = [row for name in ("words", "numbers") for row in json.loads((data / f"{name}.json").read_text())]
    for made in run.decisions:
        assert len(found[made.step]) == count
        assert {int(row["sample"]) for row in found[made.step]} <= set(run.samples_of(made))
        for row in found[made.step]:
            sample = int(row["sample"])
            assert row["domain"] == ("words" if sample < 60 else "numbers")
            assert row["answer"].split()[:3] == rows[sample]["output"].split()[:3]
    ranks = [int(row["rank"]) for row in found[run.decisions[1].step]]
    assert ranks == sorted(ranks)


def test_a_tracker_that_fails_is_told_once_and_the_run_goes_on(model, data, tmp_path, monkeypatch):
    from torch.utils.tensorboard import SummaryWriter

    def failing(self, tag, *args):
        if tag.startswith("dataflex"):
            raise OSError("the disk is full")

    monkeypatch.setattr(SummaryWriter, "add_text", failing)
    more = {"report_to": "tensorboard", "logging_dir": str(tmp_path / "board"), "dataflex": {"report_texts": 2}}
    run = open_run(train(base_args(model, data, tmp_path / "out", **more), weighter="loss"))
    told = [event.text for event in run.notices if "texts" in event.text]
    assert told == ["TensorBoard took no table of texts, and is shown no more of them: the disk is full"]
    assert run.end is not None


@pytest.mark.parametrize(
    ("section", "said"), [({"keep": {"texts": False}}, "keep says texts: false"), ({"report_texts": 0}, "report_texts")]
)
def test_texts_that_may_not_be_shown_are_refused(model, data, tmp_path, section, said):
    args = base_args(model, data, tmp_path / "out", report_to="tensorboard", dataflex={"report_texts": 5, **section})
    (tmp_path / "config.json").write_text(json.dumps(args))
    with pytest.raises(InvalidConfig, match=said):
        prepare(load_config(tmp_path / "config.json", Overrides(strategies={Kind.SELECTOR: "random"})), discover())
