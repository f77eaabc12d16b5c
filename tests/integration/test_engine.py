"""The batching engine: what a killed pass leaves, what running out of memory changes, and a pool of a million."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from cases import cases
from safetensors import SafetensorError, safe_open
from signal_support import SIZE, make_samples, reference_scores, set_up, signals_of
from support import build_model

from dataflex_core.errors import RunFailed
from dataflex_core.scoring.batching import pack
from dataflex_core.scoring.engine import Engine, Task
from dataflex_core.scoring.fingerprint import digest_of_samples
from dataflex_core.scoring.partial import PartialStore
from dataflex_core.scoring.samples import Samples

pytestmark = pytest.mark.numeric

EVERY = np.arange(SIZE)
ALL = np.arange(5)
SIGNALS = {
    "losses": lambda s, shard: s.losses(shard),
    "token losses": lambda s, shard: np.concatenate(s.token_losses(shard)),
    "influence": lambda s, shard: s.influence(shard),
    "own directions": lambda s, shard: s.influences(
        shard, directions=[s.target("t0").direction(np.arange(7), np.eye(7)), s.target("t1").direction(ALL, ALL)]
    ),
    "alignments": lambda s, shard: s.alignments(shard),
    "gradients": lambda s, shard: s.gradients(shard, dim=64),
    "embeddings": lambda s, shard: s.embeddings(shard),
    "generations": lambda s, shard: s.generations(shard, max_new_tokens=4, temperature=1.0).completions,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("engine"), seed=3)


class _Killed(BaseException):
    pass


class _Run:
    """One process' signals over one folder of partial results, that can be killed at a batch of the pool."""

    def __init__(self, folder, partial, *, seed=0, kill_at=None, how="lora", change=None, rank=0, pool=None):
        model, optimizer, known, self.targets = set_up(folder, how)
        self.pool = known if pool is None else pool
        if change is not None:
            change(model, optimizer)
        self.notices: list[str] = []
        self.store = PartialStore(partial, rank=rank, seconds=0, notice=self.notices.append)
        self.signals = signals_of(
            model, optimizer, self.pool, self.targets, notices=self.notices, seed=seed, store=self.store
        )
        self.signals.new_decision(5)
        self.batches: list[int] = []
        engine = self.signals._context.engine
        collate = engine.collate
        # Only of the pool's batches, and not those that are only collated ahead: workers are off.
        lengths = {id(row) for row in self.pool}

        def counting(rows):
            if id(rows[0]) in lengths:
                if kill_at is not None and len(self.batches) == kill_at:
                    raise _Killed
                self.batches.append(len(rows))
            return collate(rows)

        engine.collate = counting

    def __call__(self, name, shard=EVERY):
        return SIGNALS[name](self.signals, shard)


@pytest.mark.parametrize("name", SIGNALS)
def test_a_killed_pass_goes_on_where_it_was(folder, tmp_path, name):
    whole = _Run(folder, tmp_path / "whole")
    expected = whole(name)
    killed = _Run(folder, tmp_path / "partial", kill_at=len(whole.batches) - 2)
    with pytest.raises(_Killed):
        killed(name)
    again = _Run(folder, tmp_path / "partial")
    found = again(name)
    assert sum(again.batches) == sum(whole.batches[-2:]), "the last two batches, and nothing else"
    if isinstance(expected, list):
        assert found == expected
    else:
        np.testing.assert_array_equal(found, expected)
    assert any("results of a pass that was cut short are used" in text for text in again.notices)


def test_what_two_ranks_left_serves_one(folder, tmp_path):
    whole = _Run(folder, tmp_path / "whole")
    expected = whole("losses")
    batches = pack(EVERY, whole.signals._samples.lengths(), 96)
    for rank in (0, 1):
        _Run(folder, tmp_path / "partial", rank=rank)("losses", np.concatenate(batches[rank:-1:2]))
    again = _Run(folder, tmp_path / "partial")
    np.testing.assert_allclose(again("losses"), expected, rtol=1e-6)
    assert sum(again.batches) == len(batches[-1])


def _other_weights(model, optimizer):
    with torch.no_grad():
        next(p for p in model.parameters() if p.requires_grad).add_(1e-3)


def _other_moments(model, optimizer):
    next(iter(optimizer.state.values()))["exp_avg"].mul_(1.01)


def _other_frozen(model, optimizer):
    with torch.no_grad():
        next(p for p in model.parameters() if not p.requires_grad).add_(1e-3)


CHANGES = {
    "weights": ({"change": _other_weights}, "model"),
    "frozen weights": ({"change": _other_frozen}, "model"),
    "moments": ({"change": _other_moments}, "model"),
    "seed": ({"seed": 1}, "seed"),
    "data": ({"pool": make_samples(SIZE, 77)}, "data"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_partial_results_of_another_state_are_ignored_and_said(folder, tmp_path, changed):
    options, named = CHANGES[changed]
    _Run(folder, tmp_path)("influence")
    again = _Run(folder, tmp_path, **options)
    again("influence")
    assert sum(again.batches) == SIZE, "all of it, anew"
    (said,) = [text for text in again.notices if "partial influence" in text]
    assert said.endswith(f"ignored: other {named}")


def test_another_request_is_no_stale_one(folder, tmp_path):
    _Run(folder, tmp_path)("losses")
    again = _Run(folder, tmp_path)
    again.signals.losses(EVERY, model="base")
    assert sum(again.batches) == SIZE
    assert again.notices == []


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("Error while serializing: Os { code: 28 }")]
)
def test_results_that_cannot_be_written_end_nothing_and_are_said_once(folder, tmp_path, monkeypatch, error):
    expected = _Run(folder, tmp_path / "whole")("losses")

    def full(*args, **kwargs):
        raise error

    monkeypatch.setattr("dataflex_core.scoring.partial.save_file", full)
    run = _Run(folder, tmp_path / "partial")
    np.testing.assert_array_equal(run("losses"), expected)
    (said,) = run.notices
    assert said.startswith(f"partial losses of the pool cannot be written to {tmp_path / 'partial'}")
    assert list((tmp_path / "partial").iterdir()) == []


def test_a_torn_file_is_ignored_and_said(folder, tmp_path):
    first = _Run(folder, tmp_path)
    expected = first("losses")
    files = sorted(tmp_path.glob("*.safetensors"))
    files[0].write_bytes(files[0].read_bytes()[:-7])
    files[1].write_bytes(b"")
    again = _Run(folder, tmp_path)
    np.testing.assert_array_equal(again("losses"), expected)
    assert sum(again.batches) == sum(first.batches[:2])
    assert "2 torn files of partial losses of the pool ignored" in again.notices


def test_partial_results_go_when_they_have_served(folder, tmp_path):
    run = _Run(folder, tmp_path / "partial")
    run("losses")
    (tmp_path / "partial" / "00000009-left-by-a-run-that-came-further.safetensors").write_bytes(b"")
    run.signals.new_decision(8)
    assert [path.name[:8] for path in (tmp_path / "partial").iterdir()] == ["00000009"]
    run.store.clear()
    assert not (tmp_path / "partial").exists()


def test_a_short_pass_writes_nothing_and_reads_neither_data_nor_model(folder, tmp_path, monkeypatch):
    run = _Run(folder, tmp_path / "partial")
    run.store.seconds = 3600
    monkeypatch.setattr(Samples, "digest", lambda self: pytest.fail("read"))
    run("influence")
    assert not (tmp_path / "partial").exists()


def test_what_a_file_holds_is_named_in_it(folder, tmp_path):
    _Run(folder, tmp_path)("losses")
    with safe_open(sorted(tmp_path.glob("*.safetensors"))[0], framework="np") as file:
        assert file.metadata()["what"] == "losses of the pool"
        assert sorted(file.keys()) == ["ids", "values"]


def test_a_digest_is_of_content(tmp_path):
    from datasets import Dataset, load_from_disk

    rows = make_samples(2500, 4)
    table = Dataset.from_list(rows)
    table.save_to_disk(tmp_path / "saved")
    assert digest_of_samples(table) == digest_of_samples(load_from_disk(tmp_path / "saved"))
    changed = [*rows[:-1], {**rows[-1], "labels": [7] * len(rows[-1]["labels"])}]
    assert digest_of_samples(table) != digest_of_samples(Dataset.from_list(changed))
    assert digest_of_samples(rows) == digest_of_samples(make_samples(2500, 4)) != digest_of_samples(changed)


class _Scarce:
    """A model that has memory for so many tokens at once; counts how often it ran out, by shape."""

    def __init__(self, model, tokens):
        self.failed: list[tuple[int, int]] = []
        self.most = tokens
        model.register_forward_pre_hook(self._check, with_kwargs=True)

    def _check(self, module, args, kwargs):
        shape = tuple(kwargs["input_ids"].shape)
        if shape[0] * shape[1] > self.most:
            self.failed.append(shape)
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")


SUMS = ["own directions", "alignments", "gradients", "embeddings"]


@pytest.mark.parametrize("name", cases([name for name in SIGNALS if name != "generations"], slow=SUMS))
def test_a_batch_that_does_not_fit_is_halved_once_a_shape(folder, tmp_path, name):
    expected = _Run(folder, tmp_path / "1")(name)
    run = _Run(folder, tmp_path / "2", how="lora")
    scarce = _Scarce(run.signals._context.models.training, 64)
    run.signals._context.engine.token_budget = 256
    np.testing.assert_allclose(run(name), expected, rtol=2e-4, atol=1e-5)
    assert scarce.failed
    assert len(set(scarce.failed)) == len(scarce.failed), "no shape twice"
    assert len([text for text in run.notices if "needs more memory" in text]) == len(scarce.failed)
    before = len(scarce.failed)
    run.signals._context.directions.new_decision()
    run(name)
    assert len(scarce.failed) == before, "nor in the next pass"


def test_a_sample_that_does_not_fit_is_an_error_with_a_remedy(folder, tmp_path):
    run = _Run(folder, tmp_path)
    _Scarce(run.signals._context.models.training, 8)
    with pytest.raises(RunFailed, match=r"losses of the pool: a sample of .* tokens needs more memory") as caught:
        run("losses")
    assert caught.value.hint == "lower cutoff_len"


def test_ranks_that_share_a_model_stop_together(folder, tmp_path):
    run = _Run(folder, tmp_path)
    _Scarce(run.signals._context.models.training, 64)
    run.signals._context.engine.lockstep = True
    with pytest.raises(RunFailed, match="cannot change course alone") as caught:
        run("losses")
    assert caught.value.hint == "set dataflex.token_budget to 48"


def test_running_out_of_memory_amid_a_sum_counts_nothing_twice(folder, monkeypatch):
    from dataflex_core.scoring import influence

    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    added, real = [], influence._add_scaled

    def failing(sums, found, *rest):
        added.append(rest[0])
        if len(added) == 1:
            found = replace(found, parts=lambda parts=found.parts: halfway(parts()))
        real(sums, found, *rest)

    def halfway(parts):
        yield from islice(parts, 4)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")

    monkeypatch.setattr(influence, "_add_scaled", failing)
    found = signals.influence(EVERY)
    assert len(added) > 2
    np.testing.assert_allclose(found, reference_scores(model, optimizer, pool, targets), rtol=1e-4, atol=1e-6)


def test_running_out_of_memory_between_two_samples_counts_none_twice(folder):
    model, optimizer, pool, targets = set_up(folder, "beyond hooks")  # one sample at a time
    alone = []

    def second(module, args, kwargs):
        if len(kwargs["input_ids"]) == 1:
            alone.append(module)
            if len(alone) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")

    handle = model.register_forward_pre_hook(second, with_kwargs=True)
    found = signals_of(model, optimizer, pool, targets).influence(EVERY)
    handle.remove()
    np.testing.assert_allclose(found, reference_scores(model, optimizer, pool, targets), rtol=1e-4, atol=1e-6)


def test_an_engines_hook_on_embeddings_that_were_made_to_ask_for_gradients_hides_none(folder):
    """For gradient checkpointing they are; ZeRO-3 lays a function of its own around what they give."""
    model, optimizer, pool, targets = set_up(folder, "lora")
    expected = reference_scores(model, optimizer, pool, targets)
    model.get_input_embeddings().register_forward_hook(lambda module, args, output: output.view_as(output))
    found = signals_of(model, optimizer, pool, targets).influence(EVERY)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


class _Scale(torch.nn.Module):
    """A layer of somebody's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


def test_running_out_of_memory_under_vmap_halves_batches(folder, monkeypatch):
    """It is no layer that "does not run under vmap": gradients stay batched, and no later batch ends the run."""
    model, optimizer, pool, targets = set_up(folder, "full")
    model.model.norm = _Scale(model.config.hidden_size)  # no rule is made for it
    expected = signals_of(model, optimizer, pool, targets).influence(np.arange(SIZE), adam=False)
    tried: list[int] = []

    def scarce(one, in_dims):
        def call(inputs, grads):
            tried.append(len(grads[0]))
            if len(grads[0]) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot.")
            return torch.func.vmap(one, in_dims=in_dims)(inputs, grads)

        return call

    monkeypatch.setattr("dataflex_core.scoring.rules.rerun.vmap", scarce)
    notices: list[str] = []
    signals = signals_of(model, optimizer, pool, targets, notices=notices)
    np.testing.assert_allclose(signals.influence(np.arange(SIZE), adam=False), expected, rtol=1e-4, atol=1e-6)
    assert max(tried) > 2 >= min(tried)
    assert notices
    assert all("batches are halved" in text for text in notices)


def test_any_other_error_comes_through(folder, tmp_path):
    run = _Run(folder, tmp_path)
    run.signals._context.models.training.register_forward_pre_hook(lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("losses")


@pytest.mark.parametrize("name", cases(["losses", "influence"], slow=["influence"]))
def test_workers_of_the_data_loader_change_nothing(folder, tmp_path, name):
    alone = _Run(folder, tmp_path / "1")(name)
    helped = _Run(folder, tmp_path / "2")
    helped.signals._context.engine.workers = 2
    np.testing.assert_array_equal(helped(name), alone)
    assert helped.batches == [], "collated by the workers, in their own memory"


def test_a_bar_says_what_for_and_how_far(folder, capsys):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    signals._context.engine.show_progress = True
    signals.losses(EVERY)
    shown = capsys.readouterr().err
    assert "losses of the pool" in shown
    assert f"/{SIZE}" in shown
    assert "sample/s" in shown


class _Million:
    """A pool of synthetic token ids, made as they are read."""

    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        return {"input_ids": range(index % 7 + 3)}


def _stub_score(batch):
    return batch["input_ids"].float().mean(dim=1)


@pytest.mark.slow
def test_a_pool_of_a_million_is_scored_in_bounded_memory(tmp_path):
    from accelerate import Accelerator

    from dataflex_core.collectives import Ranks

    def collate(rows):
        width = max(len(row["input_ids"]) for row in rows)
        lengths = np.array([len(row["input_ids"]) for row in rows])
        values = np.arange(width) * (np.arange(width) < lengths[:, None])
        return {"input_ids": torch.from_numpy(values * (width / lengths[:, None]))}

    store = PartialStore(tmp_path / "partial", rank=0, seconds=1.0, notice=print)
    engine = Engine(
        collate=collate, ranks=Ranks(Accelerator(cpu=True)), token_budget=8192, show_progress=False, store=store
    )
    samples = Samples(name="the pool", dataset=_Million())
    samples._digest = "not read here: hashing a million Python rows is another matter"
    ids = np.arange(len(samples))
    gc.collect()
    tracemalloc.start()
    shard = engine.shard(samples, ids)
    scores = engine.map(samples, shard, Task(what="scores", signal="scores"), _stub_score)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose(scores, (shard % 7 + 2) / 2, rtol=1e-6)
    assert peak < 150 * 2**20, "some dozen numbers a sample"
    assert any((tmp_path / "partial").iterdir())
