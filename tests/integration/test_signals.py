"""Losses and gradients against independent references in plain PyTorch, and the model left as it was found."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from signal_support import SIZE, build, make_samples, reference_gradients, reference_scores, set_up, signals_of
from support import build_model

from dataflex_core.errors import DataError, RunFailed, StrategyFault
from dataflex_core.scoring.batching import deal, lengths_of, pack, target_tokens_of
from dataflex_core.scoring.gradients import SampleGradients
from dataflex_core.scoring.influence import batch_cosines
from dataflex_core.scoring.moments import Moments, adam_direction

pytestmark = pytest.mark.numeric


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("signals"), seed=3)


BEYOND_HOOKS = {"beyond hooks"}


@pytest.mark.parametrize(
    "how",
    ["lora", "rslora", "lora and embeddings", "full", "tied", "biases", "frozen", "dora", "gpt2", "beyond hooks"],
)
def test_influence_is_the_float64_batch_of_one_reference(folder, how):
    model, optimizer, pool, targets = set_up(folder, how)
    notices: list[str] = []
    signals = signals_of(model, optimizer, pool, targets, notices=notices)
    found = signals.influence(np.arange(len(pool)))
    expected = reference_scores(model, optimizer, pool, targets)
    assert spearmanr(found, expected).statistic >= 0.999
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert bool(notices) == (how in BEYOND_HOOKS)


def _train_only(model, part):
    for name, parameter in model.named_parameters():
        parameter.requires_grad = part in name


@pytest.mark.parametrize("in_blocks", [True, False])
def test_gradients_are_of_what_trains_at_the_decision(folder, in_blocks):
    """A block optimizer goes on to its next block, or a callback unfreezes layers: each decision asks anew."""
    model, _, pool, targets = set_up(folder, "frozen")
    notices: list[str] = []
    signals = signals_of(model, torch.optim.SGD(model.parameters(), lr=0.1), pool, targets, notices=notices)
    signals._context.gradients._in_blocks = in_blocks
    for step, part in enumerate((".0.", ".1.", "lm_head", "")):
        _train_only(model, part)
        signals.new_decision(step)
        found = signals.influence(np.arange(SIZE), adam=False)
        expected = reference_scores(model, None, pool, targets, adam=False)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert signals.gradients(np.arange(3), dim=64, adam=False).shape == (3, 64)
    said = "one block of layers at a time" if in_blocks else "9 of 21 parameters train now, before it were 9"
    assert sum("decision sees" in text for text in notices) == 1
    assert said in " ".join(notices)


def test_where_nothing_trains_a_gradient_is_an_error_and_a_loss_none(folder):
    model, optimizer, pool, targets = set_up(folder, "full")
    signals = signals_of(model, optimizer, pool, targets)
    _train_only(model, "nothing")
    signals.new_decision(1)
    assert np.isfinite(signals.losses(np.arange(3))).all()
    with pytest.raises(RunFailed, match="no parameter trains at this decision"):
        signals.influence(np.arange(3))


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("how", ["lora", "full"])
def test_checkpointing_and_dropout_do_not_matter(folder, how, reentrant):
    model, optimizer, pool, targets = set_up(folder, how)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.train()
    found = signals_of(model, optimizer, pool, targets).influence(np.arange(SIZE))
    np.testing.assert_allclose(found, reference_scores(model, optimizer, pool, targets), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["lora", "full"])
def test_bfloat16_gradients_are_those_of_a_batch_of_one(folder, how):
    model, optimizer, pool, targets = set_up(folder, how)
    model.to(torch.bfloat16)
    notices: list[str] = []
    found = signals_of(model, optimizer, pool, targets, notices=notices).influence(np.arange(SIZE), adam=False)
    expected = reference_scores(model, optimizer, pool, targets, adam=False, dtype=torch.bfloat16)
    assert not notices
    assert np.corrcoef(found, expected)[0, 1] > 0.999
    assert np.max(np.abs(found - expected)) < 0.02


@pytest.mark.parametrize("how", ["lora", "full"])
def test_padding_side_does_not_matter(folder, how):
    model, optimizer, pool, targets = set_up(folder, how)
    scores = [
        signals_of(model, optimizer, pool, targets, side=side).influence(np.arange(SIZE)) for side in ("right", "left")
    ]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["lora", "full"])
def test_plain_gradients_where_they_are_asked_for(folder, how):
    model, optimizer, pool, targets = set_up(folder, how)
    found = signals_of(model, optimizer, pool, targets).influence(np.arange(SIZE), adam=False)
    expected = reference_scores(model, optimizer, pool, targets, adam=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_an_optimizer_without_moments_compares_gradients_and_says_so(folder):
    model, _, pool, targets = set_up(folder, "lora")
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    notices: list[str] = []
    signals = signals_of(model, optimizer, pool, targets, notices=notices)
    found = signals.influence(np.arange(SIZE))
    signals.influence(np.arange(SIZE))
    expected = reference_scores(model, optimizer, pool, targets, adam=False)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert notices == ["the optimizer keeps no Adam moments: gradients are compared as they are"]


def test_before_the_first_step_adams_moments_are_zero(folder):
    model = build(folder, "full")
    model.folder = folder
    pool, targets = make_samples(12, 1), [make_samples(4, 2)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    found = signals_of(model, optimizer, pool, targets).influence(np.arange(12))
    for p in model.parameters():
        optimizer.state[p] = {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}
    expected = reference_scores(model, optimizer, pool, targets)
    assert spearmanr(found, expected).statistic >= 0.99


@pytest.mark.parametrize("budget", [1, 64, 4096])
def test_losses_are_the_float64_reference_whatever_the_batches(folder, budget):
    model, optimizer, pool, targets = set_up(folder, "lora")
    pool = [*pool, {"input_ids": [5, 6, 7], "labels": [-100] * 3, "attention_mask": [1] * 3}]
    found = signals_of(model, optimizer, pool, targets, budget=budget).losses(np.arange(len(pool)))
    wide = copy.deepcopy(model).double().eval()
    for row, loss in zip(pool[:-1], found[:-1], strict=True):
        ids = torch.tensor([row["input_ids"]])
        expected = wide(input_ids=ids, labels=torch.tensor([row["labels"]])).loss.item()
        assert loss == pytest.approx(expected, rel=1e-5)
    assert np.isnan(found[-1]), "no target token: no loss"


def test_a_sample_without_a_target_token_has_no_influence(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    empty = {"input_ids": [5, 6, 7], "labels": [-100] * 3, "attention_mask": [1] * 3}
    found = signals_of(model, optimizer, [*pool, empty], [[*targets[0], empty]]).influence(np.arange(SIZE + 1))
    assert np.isnan(found[-1])
    expected = reference_scores(model, optimizer, pool, targets[:1])
    np.testing.assert_allclose(found[:-1], expected, rtol=1e-4, atol=1e-6)


def test_a_target_set_without_target_tokens_is_an_error(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    empty = {"input_ids": [5, 6, 7], "labels": [-100] * 3, "attention_mask": [1] * 3}
    with pytest.raises(DataError, match="no sample of target set t1 has a gradient"):
        signals_of(model, optimizer, pool, [targets[0], [empty]]).influence(np.arange(SIZE))


def test_lengths_and_texts_are_those_of_any_samples(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    tokenizer = signals._context.models.tokenizer
    marked = [{**row, "input_ids": [*row["input_ids"], tokenizer.eos_token_id]} for row in pool[:3]]
    samples = {
        "pool": (signals, pool),
        "t0": (signals.target("t0"), targets[0]),
        "own": (signals.over(marked, "own"), marked),
    }
    for facts, rows in samples.values():
        assert facts.lengths(np.array([2, 0])).tolist() == [len(rows[i]["input_ids"]) for i in (2, 0)]
        words = [[token for token in rows[i]["input_ids"] if token not in tokenizer.all_special_ids] for i in (2, 0)]
        assert facts.texts(np.array([2, 0])) == [tokenizer.decode(ids) for ids in words]
    assert signals.lengths(np.array([], dtype=np.int64)).dtype == np.int64


def test_rows_of_different_lengths_are_gathered_in_order_of_the_ids(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    ids = np.array([9, 3, 30])
    shard = ids[[2, 0, 1]]
    found = signals.gather(ids, shard, signals.token_losses(shard))
    told = signals.token_losses(ids)
    assert len({len(losses) for losses in told}) > 1
    for row, losses in zip(found, told, strict=True):
        np.testing.assert_allclose(row, losses, rtol=1e-5)
    none = np.array([], dtype=np.int64)
    assert signals.gather(none, none, []) == []


class _Broken(Exception):
    pass


ASKED = {
    "losses": lambda signals: signals.losses(np.arange(SIZE)),
    "losses of the base": lambda signals: signals.losses(np.arange(SIZE), model="base"),
    "influence": lambda signals: signals.influence(np.arange(SIZE)),
    "products": lambda signals: signals.products(np.arange(SIZE), np.arange(SIZE)),
    "gradients": lambda signals: signals.gradients(np.arange(SIZE), dim=64),
    "embeddings": lambda signals: signals.embeddings(np.arange(SIZE), layer=1),
    "generations": lambda signals: signals.generations(np.arange(SIZE), max_new_tokens=2, temperature=1.0),
}


@pytest.mark.parametrize("signal", ASKED)
@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("reentrant", [None, True, False])
def test_the_model_is_left_as_it_was_found(folder, signal, raises, reentrant):
    model, optimizer, pool, targets = set_up(folder, "lora")
    if reentrant is not None:
        model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.train()
    model.base_model.model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    hooks = [len(module._forward_hooks) for module in model.modules()]
    values = [p.detach().clone() for p in model.parameters()]
    trains = [p.requires_grad for p in model.parameters()]
    settings = model.config.to_dict(), model.generation_config.to_dict()
    torch.manual_seed(5)
    state, python_state, numpy_state = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()

    signals = signals_of(model, optimizer, pool, targets)
    engine, calls = signals._context.engine, []
    collate = engine.collate

    def drawing(rows):
        # An eval pass draws nothing by itself: a collator that augments does.
        torch.rand(1), random.random(), np.random.rand()
        calls.append(1)
        if raises and len(calls) == 3:
            raise _Broken
        return collate(rows)

    engine.collate = drawing
    if raises:
        with pytest.raises(_Broken):
            ASKED[signal](signals)
    else:
        ASKED[signal](signals)

    assert [module.training for module in model.modules()] == modes
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert not any(module._forward_pre_hooks for module in model.get_base_model().lm_head.modules())
    assert [p.requires_grad for p in model.parameters()] == trains
    assert (model.config.to_dict(), model.generation_config.to_dict()) == settings
    assert all(bool((p.grad == 1).all()) for p in model.parameters() if p.requires_grad)
    assert all(torch.equal(p, before) for p, before in zip(model.parameters(), values, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python_state
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert len(calls) >= 3


@pytest.mark.parametrize(
    "ids", [np.ones(SIZE, dtype=bool), np.array([SIZE]), np.array([0.0])], ids=["mask", "no id", "float"]
)
@pytest.mark.parametrize(
    "method", ["shard", "lengths", "target_tokens", "texts", "row", "losses", "token_losses", "influence"]
)
def test_what_are_no_ids_is_refused_by_every_method(asked, method, ids):
    with pytest.raises(StrategyFault) as caught:
        getattr(asked, method)(ids)
    assert caught.value.hint


@pytest.fixture(scope="module")
def asked(folder):
    return signals_of(*set_up(folder, "lora"))


def test_the_adam_direction_of_the_worked_numbers():
    moments = Moments(
        first=torch.tensor([0.05, 0.1, -0.1, 0.02]),
        second=torch.tensor([0.01, 0.04, 0.09, 1e-10]),
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
    )
    found = adam_direction(torch.tensor([[0.1, -0.2, 0.3, 0.0]]), moments)
    torch.testing.assert_close(found, torch.tensor([[0.55, 0.35, -0.2, 179.107581]]), rtol=1e-5, atol=1e-6)


def test_alignments_foretell_what_a_step_of_the_optimizer_does(folder):
    model, optimizer, pool, targets = set_up(folder, "full")
    (found,) = signals_of(model, optimizer, pool, targets[:1]).alignments(np.arange(1))[0]
    before = [p.detach().clone() for p in model.parameters()]
    gradients = reference_gradients(model, targets[0]).mean(dim=0)
    optimizer.param_groups[0].update(lr=1e-6, weight_decay=0.0)
    sample = reference_gradients(model, pool[:1])[0].float()
    sizes = [p.numel() for p in model.parameters()]
    for p, g in zip(model.parameters(), sample.split(sizes), strict=True):
        p.grad = g.view_as(p)
    optimizer.step()
    moved = torch.cat([(b - p.detach()).flatten().double() for b, p in zip(before, model.parameters(), strict=True)])
    assert float(found) == pytest.approx(float(moved @ gradients) / 1e-6, rel=0.05)


@pytest.mark.parametrize(
    ("subtasks", "expected"),
    [([[0, 1, 2, 3]], [0.447487, 0.176777, 0.176777]), ([[0, 1], [2, 3]], [0.7, 0.5, 0.353553])],
)
def test_the_less_score_of_the_worked_numbers(subtasks, expected):
    """A linear model of two inputs whose per-sample gradient is its input, driven through the real gradient pass."""
    train = torch.tensor([[3.0, 4.0], [1.0, 0.0], [-1.0, 1.0]])
    target = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    unit = target / target.norm(dim=1, keepdim=True)
    parameter = torch.nn.Parameter(torch.zeros(2))
    q = {parameter: torch.stack([unit[rows].mean(dim=0) for rows in subtasks])}
    parts = [(parameter, slice(0, 3), train.clone())]
    found = SampleGradients(known=torch.ones(3, dtype=torch.bool), parts=lambda: iter(parts))
    np.testing.assert_allclose(batch_cosines(found, q, None).amax(dim=1).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_batches_hold_the_same_samples_whatever_the_number_of_ranks(world):
    ids = np.arange(100, 160)
    lengths = np.random.default_rng(0).integers(1, 90, size=60)
    batches = pack(ids, lengths, 256)
    assert sorted(np.concatenate(batches)) == ids.tolist()
    assert all(len(b) == 1 or len(b) * (-(-int(lengths[b - 100].max()) // 8) * 8) <= 256 for b in batches)
    dealt = [deal(batches, rank, world) for rank in range(world)]
    assert sorted(map(tuple, (b for part in dealt for b in part))) == sorted(map(tuple, batches))
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_lengths_are_read_column_wise_from_an_arrow_table():
    from datasets import Dataset

    rows = make_samples(25, 4)
    table = Dataset.from_list(rows).select([3, 1, 20, 7])
    assert lengths_of(table).tolist() == [len(rows[i]["input_ids"]) for i in (3, 1, 20, 7)]
    assert lengths_of(rows).tolist() == [len(row["input_ids"]) for row in rows]
    counts = [sum(label != -100 for label in row["labels"][1:]) for row in rows]
    assert target_tokens_of(table).tolist() == [counts[i] for i in (3, 1, 20, 7)]
    assert target_tokens_of(rows).tolist() == counts
    bare = table.remove_columns("labels")
    assert target_tokens_of(bare).tolist() == [length - 1 for length in lengths_of(bare)], "all tokens but the first"
