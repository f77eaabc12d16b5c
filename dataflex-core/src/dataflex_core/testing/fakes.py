"""Made-up facts about tokenised samples: pure functions of what a sample holds and of how far the model is trained.

Nothing depends on the number of ranks, on the order of questions or on a model, and samples that are alike have facts
that are alike. As in a run, losses fall while gradients and embeddings turn slowly, facts about gradients agree with
each other, and a sample without a target token has no loss and no gradient: NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.layers import ALL_LAYERS, last_layers
from dataflex_core.rng import derive
from dataflex_core.rows import Row

Ids = NDArray[np.int64]
Vector = NDArray[np.float64]

IGNORE = -100
END = 2
WIDTH = 16
"""Numbers in an embedding."""
PARAMETERS = 32
"""Trainable parameters of the model that there is not: gradients have as many numbers."""
LAYERS = 4
"""Its transformer layers, which have all of them, one after the other."""
EXPERTS = 3
"""Experts of each of its layers."""
_SLOWNESS = 40.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A tokenised sample. ``key`` is of its content: what its facts depend on, besides the model."""

    key: str
    tokens: tuple[int, ...]
    prompt: tuple[int, ...]
    """The tokens before the first target token."""
    answer: tuple[int, ...]
    """The target tokens."""
    row: Row | None = None
    """Where it comes from, if it is of a data set."""

    @classmethod
    def of(cls, row: Mapping[str, Sequence[int]], origin: Row | None = None) -> Sample:
        """Of ``input_ids`` and ``labels``, as a run's data sets have them."""
        tokens, labels = [int(token) for token in row["input_ids"]], [int(token) for token in row["labels"]]
        first = next((i for i, token in enumerate(labels) if token != IGNORE), len(labels))
        return cls(
            key=sha256(repr((tokens, labels)).encode()).hexdigest()[:16],
            tokens=tuple(tokens),
            prompt=tuple(tokens[:first]),
            answer=tuple(token for token in labels if token != IGNORE),
            row=origin,
        )


def token_losses(sample: Sample, step: int, model: str | None) -> NDArray[np.float32]:
    """Float32[t], one a target token. ``model`` None is the one in training, ``base`` what it was at step 0."""
    count = len(sample.answer)
    own = "training" if model in (None, "base") else f"model {model}"
    start, slope = np.exp(_noise(sample.key, f"{own} losses", 2) * 0.5)
    level = 2.0 * start * np.exp(-slope * (0 if model is not None else step) / _SLOWNESS)
    losses: Vector = level * np.exp(0.3 * _noise(sample.key, f"{own} tokens", count))
    return losses.astype(np.float32)


def gradient(sample: Sample, step: int, *, adam: bool, layers: str | float = ALL_LAYERS) -> Vector:
    """Float64[PARAMETERS], or what of it is of the last ``layers``.

    With ``adam`` the direction that an optimizer with moments of its own would take.
    """
    last = last_layers(layers, LAYERS)
    part = slice(0 if last is None else PARAMETERS - last * PARAMETERS // LAYERS, PARAMETERS)
    if not sample.answer:
        return np.full(PARAMETERS, np.nan)[part]
    turned = _noise(sample.key, "gradient", PARAMETERS) + step / _SLOWNESS * _noise(sample.key, "turn", PARAMETERS)
    return (turned * np.exp(_noise("moments", "scales", PARAMETERS)) if adam else turned)[part]


def unit(vector: Vector) -> Vector:
    """The vector, of length one."""
    return vector / np.linalg.norm(vector)


def mean_gradient(samples: Sequence[Sample], step: int, *, unit: bool, layers: str | float = ALL_LAYERS) -> Vector:
    """The mean gradient of a target subtask, or mean ``unit`` gradient, as `gradient`."""
    known = np.array([gradient(sample, step, adam=False, layers=layers) for sample in samples if sample.answer])
    return _mean(known, unit=unit)


def direction(
    samples: Sequence[Sample],
    ids: Ids,
    weights: Vector,
    step: int,
    *,
    unit: bool,
    layers: str | float = ALL_LAYERS,
) -> Vector:
    """The mean of G weighted sums of gradients, weights Float64[G, m], or of their unit vectors, as `gradient`.

    Raises `DataError` where no sum has a length.
    """
    own = [np.nan_to_num(gradient(samples[i], step, adam=False, layers=layers)) for i in ids.tolist()]
    sums = weights @ np.array(own)
    sums = sums[np.linalg.norm(sums, axis=1) > 0]
    if not len(sums):
        raise DataError(
            "a direction has no gradient",
            hint="leave a direction out whose weights are zero, or whose samples have no target token",
        )
    return _mean(sums, unit=unit)


def _mean(vectors: Vector, *, unit: bool) -> Vector:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    mean: Vector = (vectors / lengths if unit else vectors).mean(axis=0)
    return mean


def projected(vectors: Vector, dim: int, seed: int) -> Vector:
    """Float64[n, dim] of Float64[n, PARAMETERS]: padded where there is room, folded with random signs where not."""
    rows = -(-PARAMETERS // dim)
    signs = derive(seed, "projection").choice([-1.0, 1.0], size=PARAMETERS)
    laid = np.zeros((len(vectors), rows * dim))
    laid[:, :PARAMETERS] = vectors * signs
    folded: Vector = laid.reshape(len(vectors), rows, dim).sum(axis=1)
    return folded


def embedding(sample: Sample, step: int, view: Mapping[str, object]) -> NDArray[np.float32]:
    """Float32[WIDTH] of a ``view``: layer, pooling and model, None for the one in training.

    Samples that begin alike, as those of one domain do, lie near each other.
    """
    centre = _noise(f"token {sample.tokens[0]}", f"embedding {view}", WIDTH)
    turn = 0.0 if view["model"] is not None else step / _SLOWNESS
    own = _noise(sample.key, f"embedding {view}", WIDTH) + turn * _noise(sample.key, f"turn {view}", WIDTH)
    found: Vector = 2 * centre + own
    return found.astype(np.float32)


def expert_loads(sample: Sample, step: int) -> NDArray[np.float32]:
    """Float32[LAYERS * EXPERTS], of sum one in each layer: more alike of samples that begin alike."""
    centre = _noise(f"token {sample.tokens[0]}", "routers", LAYERS * EXPERTS)
    own = (
        _noise(sample.key, "routers", LAYERS * EXPERTS)
        + step / _SLOWNESS * _noise(sample.key, "turn", PARAMETERS)[: LAYERS * EXPERTS]
    )
    sent = np.exp(centre + 0.3 * own).reshape(LAYERS, EXPERTS)
    shares: NDArray[np.float32] = (sent / sent.sum(axis=1, keepdims=True)).ravel().astype(np.float32)
    return shares


@lru_cache(maxsize=100_000)
def completion(sample: Sample, longest: int, *key: int | str) -> tuple[int, ...]:
    """A completion of a sample's prompt, its end token included: now and then the sample's own answer."""
    rng = derive("completion", sample.key, *key)
    tokens = rng.integers(3, 100, size=rng.integers(1, 8)).tolist()
    made = [*(sample.answer if rng.random() < 1 / 3 else tokens), END]
    return tuple(made[:longest])


def text_of(tokens: Sequence[int]) -> str:
    """A word for each token but the end."""
    return " ".join(f"w{token}" for token in tokens if token != END)


@lru_cache(maxsize=100_000)
def _noise(who: str, what: str, size: int) -> Vector:
    numbers = derive("fact", who, what).standard_normal(size)
    numbers.flags.writeable = False  # it is kept for the next question
    return numbers
