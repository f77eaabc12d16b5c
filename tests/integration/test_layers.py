"""Token losses, projected gradients, embeddings and generations against references in plain PyTorch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from cases import cases
from signal_support import SIZE, make_samples, reference_gradients, reference_scores, set_up, signals_of
from support import build_model

from dataflex_core.errors import StrategyFault, UnmetNeed
from dataflex_core.scoring.embeddings import pooled
from dataflex_core.scoring.projection import Projection

pytestmark = pytest.mark.numeric

EVERY = np.arange(SIZE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("layers"), seed=3)


def _reference_token_losses(model, rows, dtype=torch.float64) -> list[np.ndarray]:
    wide = copy.deepcopy(model).to(dtype).eval()
    found = []
    for row in rows:
        with torch.no_grad():
            logits = wide(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].double()
        labels = torch.tensor(row["labels"][1:])
        losses = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="none")
        found.append(losses[labels != -100].numpy())
    return found


@pytest.mark.parametrize("how", ["lora", "full", "gpt2"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_token_losses_are_the_float64_reference(folder, how, side):
    model, optimizer, pool, targets = set_up(folder, how)
    shard = EVERY[::-1]
    signals = signals_of(model, optimizer, pool, targets, side=side)
    found = signals.token_losses(shard)
    expected = _reference_token_losses(model, pool)
    for mine, index in zip(found, shard, strict=True):
        assert mine.dtype == np.float32
        np.testing.assert_allclose(mine, expected[index], rtol=1e-4)
    means = signals.losses(shard)
    np.testing.assert_allclose(means, [losses.mean() for losses in found], rtol=1e-5)


def test_bfloat16_losses_are_float32_of_bfloat16_logits(folder):
    model, optimizer, pool, targets = set_up(folder, "full")
    model.to(torch.bfloat16)
    found = signals_of(model, optimizer, pool, targets).token_losses(EVERY)
    expected = _reference_token_losses(model, pool, torch.bfloat16)
    assert all(losses.dtype == np.float32 for losses in found)
    np.testing.assert_allclose(np.concatenate(found), np.concatenate(expected), rtol=0.05)


def test_logits_are_computed_at_target_tokens_only(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    seen = []
    model.get_base_model().lm_head.register_forward_hook(lambda module, args, output: seen.append(output.shape[:2]))
    signals_of(model, optimizer, pool, targets, budget=512).losses(EVERY)
    assert sum(rows * positions for rows, positions in seen) == sum(
        sum(label != -100 for label in row["labels"][1:]) for row in pool
    )


@pytest.mark.parametrize("how", ["lora", "full"])
def test_a_reference_is_the_model_that_the_run_started_from(folder, how):
    from transformers import AutoModelForCausalLM

    model, optimizer, pool, targets = set_up(folder, how)
    expected = _reference_token_losses(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), pool)
    trains = [p.requires_grad for p in model.parameters()]
    signals = signals_of(model, optimizer, pool, targets)
    for name in ("base", str(folder)):
        np.testing.assert_allclose(
            np.concatenate(signals.token_losses(EVERY, model=name)), np.concatenate(expected), rtol=1e-4
        )
    assert [p.requires_grad for p in model.parameters()] == trains
    assert not np.allclose(signals.losses(EVERY), signals.losses(EVERY, model="base"), rtol=1e-3), "it has trained"


def test_a_reference_of_another_vocabulary_or_none_is_refused(folder, tmp_path):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    with pytest.raises(UnmetNeed, match="cannot be loaded"):
        signals.losses(EVERY, model=str(tmp_path / "nowhere"))
    other = _other_vocabulary(tmp_path / "other")
    with pytest.raises(UnmetNeed, match="has another vocabulary"):
        signals.losses(EVERY, model=str(other))


def _other_vocabulary(folder):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    build_model(folder, seed=9)
    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", "the", "cat", "sat", "on", "a", "mat"])}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("how", cases(["lora", "full", "dora"], slow=["dora"]))
def test_projected_gradients_keep_the_exact_cosines_with_the_target_set(folder, how, adam):
    model, optimizer, pool, targets = set_up(folder, how)
    exact = reference_scores(model, optimizer, pool, targets, adam=adam)
    for seed in range(3):
        signals = signals_of(model, optimizer, pool, targets, seed=seed)
        rows = signals.gradients(EVERY, dim=512, adam=adam)
        assert rows.shape == (SIZE, 512)
        scores = [
            (rows @ signals.target(t).gradients(np.arange(n), dim=512, adam=False).T).mean(axis=1)
            for t, n in zip(signals.targets, map(len, targets), strict=True)
        ]
        np.testing.assert_allclose(np.max(scores, axis=0), exact, rtol=1e-3, atol=1e-5)


def test_two_subtasks_that_are_one_share_a_coordinate(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    twice = [targets[0], targets[0]]
    signals = signals_of(model, optimizer, pool, twice)
    rows, held = signals.gradients(EVERY, dim=64), signals.target("t0").gradients(np.arange(7), dim=64, adam=False)
    exact = reference_scores(model, optimizer, pool, twice)
    np.testing.assert_allclose((rows @ held.T).mean(axis=1), exact, rtol=1e-3, atol=1e-5)
    with pytest.raises(StrategyFault, match="2 subtasks do not fit into 2 dimensions"):
        signals.gradients(EVERY, dim=2)


@pytest.mark.parametrize("keep", [True, False])
def test_products_between_samples_are_estimated(folder, keep):
    model, optimizer, pool, targets = set_up(folder, "full")
    exact = reference_gradients(model, pool)
    exact /= exact.norm(dim=1, keepdim=True)
    rows = signals_of(model, optimizer, pool, targets).gradients(EVERY, dim=8192, adam=False, keep_targets=keep)
    off = rows @ rows.T - (exact @ exact.T).numpy()
    assert np.sqrt((off**2).mean()) < 2 / np.sqrt(8192)
    assert np.abs(off.mean()) < 1 / np.sqrt(8192)


def _sizes(model):
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("dim", [256, 8192])
def test_projected_gradients_are_the_reference_through_one_sparse_matrix(folder, dim):
    model, optimizer, pool, targets = set_up(folder, "lora")
    projection = Projection(_sizes(model), dim=dim, seed=4)
    pieces = []
    for name, numel in _sizes(model).items():
        projection.add(piece := torch.zeros(numel, dim), name, torch.eye(numel))
        pieces.append(piece)
    matrix = torch.cat(pieces)
    assert bool((matrix.abs().sum(dim=1) == 1).all()), "one sign in one place a coordinate"
    assert matrix.sum().abs() < 4 * len(matrix) ** 0.5
    assert (len(matrix) > dim) or bool((matrix.abs().sum(dim=0) <= 1).all()), "fewer coordinates than places: exact"
    expected = reference_gradients(model, pool) @ matrix.double()
    signals = signals_of(model, optimizer, pool, targets, seed=4)
    found = signals.gradients(EVERY, dim=dim, adam=False, unit=False, keep_targets=False)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    some = np.array([7, 3, 30])
    np.testing.assert_allclose(
        signals.gradients(some, dim=dim, adam=False, unit=False, keep_targets=False), found[some], atol=1e-5
    )


def test_columns_of_a_matrix_are_scattered():
    """Heavy columns are what a language model's gradients have, and what a plain fold would throw together."""
    column = torch.zeros(512, 64)
    column[:, 5] = 1
    Projection({"w": column.numel()}, dim=64, seed=0).add(sums := torch.zeros(1, 64), "w", column.reshape(1, -1))
    assert int((sums != 0).sum()) > 32


def _reference_embeddings(model, rows, layer, pooling, dtype=torch.float64):
    wide = copy.deepcopy(model).to(dtype).eval()
    found = []
    for row in rows:
        with torch.no_grad():
            states = wide(input_ids=torch.tensor([row["input_ids"]]), output_hidden_states=True).hidden_states[layer][0]
        states, count = states.double(), len(row["input_ids"])
        weights = {
            "mean": torch.full((count,), 1 / count),
            "last": torch.eye(count)[-1],
            "weighted": torch.arange(1, count + 1) / (count * (count + 1) / 2),
        }[pooling]
        found.append((weights.double() @ states).numpy())
    return np.stack(found)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("pooling", ["mean", "last", "weighted"])
@pytest.mark.parametrize(("how", "layer"), [("lora", -1), ("lora", 1), ("full", 0), ("gpt2", -1), ("gpt2", -2)])
def test_embeddings_are_the_float64_reference(folder, how, layer, pooling, side):
    model, optimizer, pool, targets = set_up(folder, how)
    signals = signals_of(model, optimizer, pool, targets, side=side)
    found = signals.embeddings(EVERY[::-1], layer=layer, pooling=pooling)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, _reference_embeddings(model, pool, layer, pooling)[::-1], rtol=1e-3, atol=1e-5)
    held = signals.target("t1").embeddings(np.arange(5), layer=layer, pooling=pooling)
    np.testing.assert_allclose(held, _reference_embeddings(model, targets[1], layer, pooling), rtol=1e-3, atol=1e-5)


def test_bfloat16_states_are_pooled_in_float32():
    states = torch.ones(1, 4096, 2, dtype=torch.bfloat16)
    states[:, ::2] = 1.0078125
    found = pooled(states, torch.ones(1, 4096), "mean")
    torch.testing.assert_close(found, torch.full((1, 2), 1.00390625), rtol=1e-6, atol=0)


def test_embeddings_of_a_separate_model(folder, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    same = signals.embeddings(EVERY, model=str(folder))
    plain = AutoModel.from_pretrained(folder)
    np.testing.assert_allclose(same, _reference_embeddings(plain, pool, -1, "mean"), rtol=1e-3, atol=1e-5)

    other = _other_vocabulary(tmp_path / "other")
    theirs, ours = AutoTokenizer.from_pretrained(other), AutoTokenizer.from_pretrained(folder)
    rows = [{"input_ids": theirs(ours.decode(row["input_ids"]))["input_ids"]} for row in pool]
    found = signals.embeddings(EVERY, model=str(other), pooling="last")
    expected = _reference_embeddings(AutoModel.from_pretrained(other), rows, -1, "last")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_an_embedding_that_there_is_not_is_refused(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    with pytest.raises(UnmetNeed, match="layer 3 is out of the model's 2"):
        signals.embeddings(EVERY, layer=3)
    with pytest.raises(StrategyFault, match="no pooling 'max'"):
        signals.embeddings(EVERY, pooling="max")
    with pytest.raises(UnmetNeed, match="no target set held"):
        signals.target("held")


def _prompt(row) -> list[int]:
    return [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label == -100]


def _reference_greedy(model, prompt, count) -> list[int]:
    wide = copy.deepcopy(model).double().eval()
    ids = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            ids.append(int(wide(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == 2:
            break
    return ids[len(prompt) :]


@pytest.mark.parametrize("how", ["lora", "gpt2"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_greedy_generations_are_the_argmax_of_a_batch_of_one(folder, how, side):
    model, optimizer, pool, targets = set_up(folder, how)
    shard = np.array([9, 2, 33, 4, 0, 17])
    found = signals_of(model, optimizer, pool, targets, side=side).generations(shard, max_new_tokens=7)
    assert found.prompts == [_prompt(pool[i]) for i in shard]
    assert [runs[0] for runs in found.completions] == [_reference_greedy(model, _prompt(pool[i]), 7) for i in shard]
    assert all(len(text) == 1 and isinstance(text[0], str) for text in found.texts)


def test_sampled_generations_depend_on_the_seed_and_nothing_else(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")

    def draw(seed, **options):
        signals = signals_of(model, optimizer, pool, targets, seed=seed, **options)
        return signals.generations(EVERY, count=3, max_new_tokens=5, temperature=1.0)

    torch.manual_seed(1)
    first = draw(0)
    torch.manual_seed(2)
    again, other = draw(0), draw(1)
    assert first == again == draw(0, budget=32) == draw(0, budget=400, side="left"), "whatever is batched together"
    assert first.completions != other.completions
    assert all(len(runs) == 3 for runs in first.completions)
    assert any(runs[0] != runs[1] for runs in first.completions)


def test_generations_end_with_the_end_token_and_are_samples_themselves(folder):
    model, optimizer, pool, targets = set_up(folder, "full")
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[2] = model.model.embed_tokens.weight.mean(dim=0) * 0
    signals = signals_of(model, optimizer, pool, targets)
    signals._context.ends = [0]  # all logits are equal: the first token wins, and ends
    found = signals.generations(EVERY[:4], max_new_tokens=9)
    assert found.completions == [[[0]]] * 4
    rows = found.rows()
    assert rows[0]["labels"] == [-100] * len(found.prompts[0]) + [0]
    losses = signals.over(rows, "completions").losses(np.arange(4))
    np.testing.assert_allclose(losses, np.log(model.config.vocab_size), rtol=1e-5)


def test_greedy_completions_are_one_a_prompt(folder):
    model, optimizer, pool, targets = set_up(folder, "lora")
    with pytest.raises(StrategyFault, match="all the same"):
        signals_of(model, optimizer, pool, targets).generations(EVERY, count=2)


def test_a_sample_without_a_prompt_is_refused(folder):
    model, optimizer, _, targets = set_up(folder, "lora")
    whole = [{**row, "labels": row["input_ids"]} for row in make_samples(4, 5)]
    with pytest.raises(UnmetNeed, match="no prompt to complete"):
        signals_of(model, optimizer, whole, targets).generations(np.arange(4))
