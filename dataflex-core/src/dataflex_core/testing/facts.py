"""Made-up facts about tokenised samples: pure functions of what a sample holds and of how far the model is trained.

Nothing depends on the number of ranks, on the order of questions or on a model, and samples that are alike have facts
that are alike. As in a run, losses fall while gradients and embeddings turn slowly, facts about gradients agree with
each other, and a sample without a target token has no loss and no gradient: NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from dataflex_core.plan import derive

Row = Mapping[str, Sequence[int]]
"""A tokenised sample: ``input_ids``, ``labels`` and ``attention_mask``, lists of one length."""
Vector = NDArray[np.float64]

IGNORE = -100
END = 2
WIDTH = 16
"""Numbers in an embedding."""
PARAMETERS = 32
"""Trainable parameters of the model that there is not: gradients have as many numbers."""
_SLOWNESS = 40.0


def key_of(row: Row) -> str:
    """What a sample's facts depend on, besides the model."""
    return sha256(repr((list(row["input_ids"]), list(row["labels"]))).encode()).hexdigest()


def answer_of(row: Row) -> list[int]:
    """The target tokens."""
    return [int(token) for token in row["labels"] if token != IGNORE]


def prompt_of(row: Row) -> list[int]:
    """The tokens before the first target token."""
    labels = list(row["labels"])
    stop = next((i for i, token in enumerate(labels) if token != IGNORE), len(labels))
    return [int(token) for token in list(row["input_ids"])[:stop]]


def token_losses(row: Row, step: int, model: str | None) -> NDArray[np.float32]:
    """Float32[t], one a target token. ``model`` None is the one in training, ``base`` what it was at step 0."""
    count = len(answer_of(row))
    own = "training" if model in (None, "base") else f"model {model}"
    start, slope = np.exp(_noise(key_of(row), f"{own} losses", 2) * 0.5)
    level = 2.0 * start * np.exp(-slope * (0 if model is not None else step) / _SLOWNESS)
    losses: Vector = level * np.exp(0.3 * _noise(key_of(row), f"{own} tokens", count))
    return losses.astype(np.float32)


def gradient(row: Row, step: int, *, adam: bool) -> Vector:
    """Float64[PARAMETERS]; with ``adam`` the direction that an optimizer with moments of its own would take."""
    if not answer_of(row):
        return np.full(PARAMETERS, np.nan)
    turned = _noise(key_of(row), "gradient", PARAMETERS) + step / _SLOWNESS * _noise(key_of(row), "turn", PARAMETERS)
    return turned * np.exp(_noise("moments", "scales", PARAMETERS)) if adam else turned


def unit(vector: Vector) -> Vector:
    """The vector, of length one."""
    return vector / np.linalg.norm(vector)


def direction(rows: Sequence[Row], step: int) -> Vector:
    """Float64[PARAMETERS], the mean unit gradient of a target subtask."""
    known = [unit(gradient(row, step, adam=False)) for row in rows if answer_of(row)]
    mean: Vector = np.mean(known, axis=0)
    return mean


def projected(vectors: Vector, dim: int, seed: int) -> Vector:
    """Float64[n, dim] of Float64[n, PARAMETERS]: padded where there is room, folded with random signs where not."""
    rows = -(-PARAMETERS // dim)
    signs = derive(seed, "projection").choice([-1.0, 1.0], size=PARAMETERS)
    laid = np.zeros((len(vectors), rows * dim))
    laid[:, :PARAMETERS] = vectors * signs
    folded: Vector = laid.reshape(len(vectors), rows, dim).sum(axis=1)
    return folded


def embedding(row: Row, step: int, *, layer: int, pooling: str, model: str | None) -> NDArray[np.float32]:
    """Float32[WIDTH]. Samples of one domain lie near each other: those whose first token is the same."""
    view = f"{layer} {pooling} {model}"
    centre = _noise(f"token {row['input_ids'][0]}", view, WIDTH)
    turn = 0.0 if model is not None else step / _SLOWNESS
    own = _noise(key_of(row), f"embedding {view}", WIDTH) + turn * _noise(key_of(row), f"turn {view}", WIDTH)
    return (2 * centre + own).astype(np.float32)


def completion(row: Row, longest: int, *key: int | str) -> list[int]:
    """A completion of a sample's prompt, its end token included: now and then the sample's own answer."""
    rng = derive("completion", key_of(row), *key)
    tokens = rng.integers(3, 100, size=rng.integers(1, 8)).tolist()
    made = [*(answer_of(row) if rng.random() < 1 / 3 else tokens), END]
    return made[:longest]


def text_of(tokens: Sequence[int]) -> str:
    """A word for each token but the end."""
    return " ".join(f"w{token}" for token in tokens if token != END)


@lru_cache(maxsize=100_000)
def _noise(who: str, what: str, size: int) -> Vector:
    numbers = derive("fact", who, what).standard_normal(size)
    numbers.flags.writeable = False  # it is kept for the next question
    return numbers
