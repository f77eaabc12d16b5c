"""A model that does not train is asked once a sample: whoever asks again, in whatever run, makes no forward."""

from __future__ import annotations

import functools
import shutil
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from datasets import Dataset
from signal_support import make_samples, set_up, signals_of
from support import build_model
from transformers import LlamaForCausalLM, LlamaModel

from dataflex_core.scoring.store import Store
from dataflex_core.trainer.pool_features import PoolFeatures

pytestmark = pytest.mark.numeric

ASKED = {
    "losses": lambda signals, shard, model: signals.losses(shard, model=model),
    "token losses": lambda signals, shard, model: np.concatenate(signals.token_losses(shard, model=model)),
    "embeddings": lambda signals, shard, model: signals.embeddings(shard, pooling="last", model=model),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return str(build_model(tmp_path_factory.mktemp("reference"), seed=3))


@contextmanager
def forwards(monkeypatch):
    """The number of samples of each forward of any Llama in the block."""
    counted: list[int] = []
    forward = LlamaModel.forward

    @functools.wraps(forward)
    def counting(self, input_ids=None, **kwargs):
        counted.append(len(input_ids))
        return forward(self, input_ids=input_ids, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(LlamaModel, "forward", counting)
        yield counted


class Run:
    """Signals of a pool, with a store, as a run has them."""

    def __init__(self, folder, store, how="lora", **settings):
        self.notices: list[str] = []
        self.model, self.optimizer, self.pool, targets = set_up(folder, how)
        self.signals = signals_of(self.model, self.optimizer, self.pool, targets, notices=self.notices)
        self.signals._context.store = Store(store, self.notices.append)
        for name, value in settings.items():
            setattr(self.signals._context, name, value)

    def ask(self, what, model, ids=None):
        ids = np.arange(len(self.pool)) if ids is None else np.asarray(ids)
        return ASKED[what](self.signals, self.signals.shard(ids), model)

    def train(self):
        """A step, after which the model in training is another."""
        batch = {key: torch.tensor([value]) for key, value in self.pool[0].items()}
        self.model(**batch).loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.signals.new_decision(self.signals._context.step + 1)


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize("named", ["base", "another"])
def test_three_decisions_pay_for_one_and_a_second_run_for_none(folder, reference, tmp_path, monkeypatch, what, named):
    model = "base" if named == "base" else reference
    run = Run(folder, tmp_path)
    with forwards(monkeypatch) as first:
        expected = run.ask(what, model)
    assert sum(first) == len(run.pool)
    with forwards(monkeypatch) as later:
        for _ in range(2):
            run.train()
            later.clear()
            np.testing.assert_array_equal(run.ask(what, model), expected)
            assert later == []
    again = Run(folder, tmp_path)
    again.train()
    with forwards(monkeypatch) as second:
        np.testing.assert_array_equal(again.ask(what, model), expected)
    assert second == []
    assert again.notices == []
    kept = run.signals._context.store
    assert {len(shelf) for shelf in kept._shelves.values()} == {len(run.pool)}


class Features(PoolFeatures):
    """Those of a run's pool, with the tables in ``tables``."""

    def __init__(self, run, tables, kind="both"):
        pool = Dataset.from_list(run.pool)
        ranks = run.signals._context.engine.ranks
        super().__init__(pool, 0, kind=kind, signals=lambda: run.signals, folder=tables, ranks=ranks)


def test_features_of_the_starting_model_are_made_once_for_every_run(folder, tmp_path, monkeypatch):
    every, store = np.arange(40), tmp_path / "store"
    run = Run(folder, store)
    run.train()  # it is asked as it was before
    features = Features(run, tmp_path / "a")
    with forwards(monkeypatch) as counted:
        rows = features(every)
    assert sum(counted) == features.passed() == len(run.pool)
    assert features.passed() == 0
    np.testing.assert_allclose(np.linalg.norm(rows.astype("f8"), axis=1), 1, rtol=1e-2)
    start = Features(run, tmp_path / "a", "start")
    elsewhere = Run(folder, store)
    states = elsewhere.signals.embeddings(every, model="base").astype("f8")
    plain = (states - states.mean(axis=0)) / states.std(axis=0)
    plain /= np.linalg.norm(plain, axis=1, keepdims=True)
    with forwards(monkeypatch) as counted:
        found = start(every)
        np.testing.assert_allclose(found.astype("f8"), plain, atol=5e-3)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(Features(run, tmp_path / "a")(every), rows)  # a run that goes on
        for tables in (tmp_path / "b", None):  # another run, and one that keeps no table
            np.testing.assert_array_equal(Features(elsewhere, tables)(every), rows)
    assert counted == []
    other = Run(folder, store, how="lora")
    with torch.no_grad():
        other.model.get_base_model().lm_head.weight.mul_(2)
    Features(other, tmp_path / "a")(every)
    assert len(list((tmp_path / "a").glob("start-*.npy"))) == 2, "another model has a table of its own"


def test_the_model_in_training_is_asked_every_time(folder, tmp_path, monkeypatch):
    run = Run(folder, tmp_path)
    with forwards(monkeypatch) as counted:
        for _ in range(2):
            for what in ASKED:
                run.ask(what, None)
    assert sum(counted) == 2 * len(ASKED) * len(run.pool)
    assert list(tmp_path.iterdir()) == []


def test_samples_are_known_by_content_wherever_they_are(folder, tmp_path, monkeypatch):
    run = Run(folder, tmp_path)
    first = run.ask("losses", "base", np.arange(10))
    again = Run(folder, tmp_path)
    rows = [again.pool[i] for i in (7, 3)] + make_samples(1, 99)
    over = again.signals.over(rows, "some")
    with forwards(monkeypatch) as counted:
        found = over.losses(over.shard(np.arange(3)), model="base")
    assert sum(counted) == 1, "the one that is new"
    by_row = dict(zip(over.shard(np.arange(3)).tolist(), found.tolist(), strict=True))
    order = run.signals.shard(np.arange(10)).tolist()
    assert [by_row[0], by_row[1]] == [first[order.index(7)], first[order.index(3)]]


def test_what_is_missing_alone_is_computed(folder, tmp_path, monkeypatch):
    run = Run(folder, tmp_path)
    run.ask("losses", "base", [1, 5, 9])
    with forwards(monkeypatch) as counted:
        both = run.ask("losses", "base")
    assert sum(counted) == len(run.pool) - 3
    plain = Run(folder, None)
    np.testing.assert_allclose(both, plain.ask("losses", "base"), rtol=1e-5)


@pytest.mark.parametrize("change", ["weights", "settings", "precision"])
def test_another_model_is_asked_anew(folder, reference, tmp_path, monkeypatch, change):
    import json

    Run(folder, tmp_path / "store").ask("losses", reference)
    other, settings = tmp_path / "other", {}
    shutil.copytree(reference, other)
    if change == "weights":
        model = LlamaForCausalLM.from_pretrained(other)
        with torch.no_grad():
            model.lm_head.weight[0, 0] += 1e-6
        model.save_pretrained(other)
    elif change == "settings":
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    run = Run(folder, tmp_path / "store", **settings)
    if change == "precision":
        run.model.to(torch.bfloat16)
    with forwards(monkeypatch) as counted:
        run.ask("losses", str(other))
    assert sum(counted) == len(run.pool)


def test_a_copy_of_a_model_is_that_model(folder, reference, tmp_path, monkeypatch):
    Run(folder, tmp_path / "store").ask("losses", reference)
    shutil.copytree(reference, tmp_path / "copy")
    run = Run(folder, tmp_path / "store")
    with forwards(monkeypatch) as counted:
        run.ask("losses", str(tmp_path / "copy"))
    assert counted == []


def test_another_question_is_asked(folder, tmp_path, monkeypatch):
    run = Run(folder, tmp_path)
    run.ask("losses", "base")
    with forwards(monkeypatch) as counted:
        run.ask("token losses", "base")
        every = run.signals.shard(np.arange(len(run.pool)))
        run.signals.embeddings(every, model=str(folder))
        run.signals.embeddings(every, layer=0, model=str(folder))
    assert sum(counted) == 3 * len(run.pool)


def test_a_base_that_trains_beside_its_adapter_is_not_frozen(folder, tmp_path):
    run = Run(folder, tmp_path)
    next(p for name, p in run.model.named_parameters() if name.endswith("norm.weight")).requires_grad = True
    run.ask("losses", "base")
    assert list(tmp_path.iterdir()) == []


def test_token_losses_in_half_the_bytes_are_the_same_now_and_later(folder, tmp_path):
    first = Run(folder, tmp_path, tokens_as="float16").ask("token losses", "base")
    later = Run(folder, tmp_path, tokens_as="float16").ask("token losses", "base")
    exact = Run(folder, None).ask("token losses", "base")
    np.testing.assert_array_equal(first, later)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, exact.astype(np.float16).astype(np.float32))


def test_images_may_change_under_their_names_and_are_not_kept(folder, tmp_path):
    run = Run(folder, tmp_path)
    rows = [{**row, "images": ["a.png"] if place % 2 else None} for place, row in enumerate(run.pool)]
    over = run.signals.over(rows, "some")
    keys, keyed = over._samples.keys(np.arange(len(rows)))
    assert keyed.tolist() == [place % 2 == 0 for place in range(len(rows))]
    plain, _ = run.signals._samples.keys(np.arange(len(rows)))
    np.testing.assert_array_equal(keys[keyed], plain[keyed])


def test_an_arrow_table_and_a_list_have_the_same_keys(folder, tmp_path):
    from datasets import Dataset

    from dataflex_core.scoring.sample_keys import keys_of

    rows = [*make_samples(30, 5), {"input_ids": [1, 2], "labels": [-100, 2], "attention_mask": [1, 2]}]
    ids = np.array([30, 3, 29, 0])
    table = Dataset.from_list(rows).map(lambda row: {"images": None})
    ours, known = keys_of(rows, ids)
    theirs, _ = keys_of(table.select(range(31)), ids)
    assert known.all()
    np.testing.assert_array_equal(ours, theirs)
    assert len(set(keys_of(rows, np.arange(31))[0].tolist())) == 31


def test_a_pass_that_was_cut_short_is_the_same_as_one_that_was_not(folder, tmp_path):
    """Only whole passes are kept: the batches of the rest would be others."""
    from dataflex_core.errors import Interrupted
    from dataflex_core.scoring.partial import PartialStore

    whole = Run(folder, tmp_path / "whole").ask("losses", "base")

    def run():
        made = Run(folder, tmp_path / "store")
        made.signals._context.engine.store = PartialStore(tmp_path / "partial", rank=0, seconds=0, notice=print)
        return made

    cut, calls = run(), []
    cut.signals._context.engine.asked_to_end = lambda: len(calls) > 2 or bool(calls.append(1))
    with pytest.raises(Interrupted):
        cut.ask("losses", "base")
    assert not (tmp_path / "store").exists()
    np.testing.assert_array_equal(run().ask("losses", "base"), whole)
