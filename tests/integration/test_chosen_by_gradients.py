"""Choices by gradients are those of unprojected float64 gradients, taken one sample at a time by plain PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from signal_support import SIZE, STEPS, TARGETS, reference_gradients, reference_updates, set_up, signals_of
from support import build_model

from dataflex_core.domains import Domain
from dataflex_core.requests import Progress, SelectionRequest
from dataflex_core.rng import derive
from dataflex_strategies.selectors.cluster_less import (
    ClusterLessParams,
    ClusterLessSelector,
    cluster_scores,
    clustered,
)
from dataflex_strategies.selectors.greats import GreatsParams, GreatsSelector, greedy
from dataflex_strategies.selectors.icons import IconsParams, IconsSelector, votes
from dataflex_strategies.selectors.nice import NiceParams, NiceSelector, directions

pytestmark = pytest.mark.numeric

EVERY = np.arange(SIZE)
COUNT = 12


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Signals of a tiny model, and what they are made of, as references: updates, and the gradients of subtasks."""
    folder = build_model(tmp_path_factory.mktemp("chosen"), seed=3)
    model, optimizer, pool, targets = set_up(folder, "lora")
    return {
        "signals": signals_of(model, optimizer, pool, targets),
        "updates": reference_updates(model, optimizer, pool),
        "steps": reference_updates(model, optimizer, pool, step=STEPS + 1),
        "targets": [reference_gradients(model, rows) for rows in targets],
        "model": model,
    }


def unit(vectors):
    return vectors / vectors.norm(dim=-1, keepdim=True)


def select(selector, known, rate=1e-3):
    moment = Progress(step=0, total_steps=9, decision=1, decisions=3, epoch=0.0, learning_rate=rate, seed=0)
    request = SelectionRequest(
        progress=moment,
        domains=(Domain(name="pool", start=0, size=SIZE),),
        candidates=EVERY,
        count=COUNT,
        rng=derive(0, "chosen"),
        signals=known["signals"],
    )
    return selector.select(request)


def test_icons(known):
    q = torch.stack([unit(rows).mean(dim=0) for rows in known["targets"]])
    influences = (unit(known["updates"]) @ q.T).numpy()
    expected = np.lexsort((-influences.mean(axis=1), -votes(influences, COUNT / SIZE)))[:COUNT]
    found = select(IconsSelector(IconsParams()), known)
    assert found.ids.tolist() == expected.tolist()


@pytest.mark.parametrize("exact_up_to", [SIZE, 0], ids=["exact", "projected"])
def test_greats(known, exact_up_to):
    q, updates = torch.cat(known["targets"]).mean(dim=0), known["steps"]
    scores, products = (updates @ q).numpy(), (updates @ updates.T).numpy()
    # A rate at which what has been taken counts as much as what is to be taken.
    rate = float(scores.max() / products.max())
    expected = greedy(rate * scores, rate**2 * products, COUNT)
    assert expected.tolist() != np.argsort(-scores)[:COUNT].tolist(), "else there would be nothing to see"
    params = GreatsParams(exact_up_to=exact_up_to)
    assert updates.shape[1] <= 8192, "a projection loses nothing"
    assert select(GreatsSelector(params), known, rate).ids.tolist() == expected.tolist()


def test_cluster_less(known):
    points = known["signals"].embeddings(EVERY)
    labels, distances = clustered(points, 5, derive(0, "chosen"))
    near = np.sort(
        np.concatenate([np.flatnonzero(labels == k)[np.argsort(distances[labels == k])][:3] for k in range(5)])
    )
    q = torch.stack([unit(rows).mean(dim=0) for rows in known["targets"]])
    scores = cluster_scores(known["updates"][near].numpy(), labels[near], q.numpy())
    expected = np.lexsort((distances, -scores[labels]))[:COUNT]
    params = ClusterLessParams(cluster_size=SIZE // 5, samples_per_cluster=3)
    found = select(ClusterLessSelector(params), known)
    assert found.ids.tolist() == expected.tolist()
    np.testing.assert_allclose(found.scores, scores[labels[expected]], rtol=1e-3, atol=1e-5)


def reward(prompt, completion, reference):
    """Of a completion by what letters it has: it asks no more than that some differ."""
    return sum(map(ord, completion)) % 7 // 3


def test_nice(known):
    params = NiceParams(mc_samples=4, max_new_tokens=5, reward=f"{__name__}:reward")
    q, undirected = [], 0
    for name, size in zip(known["signals"].targets, TARGETS, strict=True):
        made = known["signals"].target(name).generations(np.arange(size), count=4, max_new_tokens=5, temperature=1.0)
        rewards = np.array([[reward("", text, "") for text in texts] for texts in made.texts])
        tokens = np.array([[len(run) for run in runs] for runs in made.completions])
        means = reference_gradients(known["model"], made.rows()).reshape(size, 4, -1).numpy()
        found = directions(rewards, means * tokens[:, :, None])
        has = found.any(axis=1)
        undirected += int((~has).sum())
        q.append(unit(torch.from_numpy(found[has])).mean(dim=0))
    scores = (unit(known["updates"]) @ torch.stack(q).T).amax(dim=1).numpy()
    found = select(NiceSelector(params), known)
    assert found.ids.tolist() == np.argsort(-scores)[:COUNT].tolist()
    assert found.notes["undirected"] == undirected
