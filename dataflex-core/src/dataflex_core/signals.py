"""What a strategy can ask about the model: losses, gradients, embeddings and generations of some samples.

Neither torch nor numpy is imported here; `dataflex_core.scoring` computes the answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dataflex_core.errors import StrategyFault
from dataflex_core.layers import ALL_LAYERS
from dataflex_core.questions import as_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core.rows import Row

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]

Gathered = TypeVar("Gathered", "Scores", "list[Scores]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generations:
    """C completions of each of n samples' prompts: token ids, end token included, and their text without it.

    A prompt is what the run's template makes of everything before a sample's last answer; ``references`` are those
    answers' texts, for a reward to compare with, and ``prompt_texts`` the prompts', without special tokens.
    """

    prompts: list[list[int]]
    completions: list[list[list[int]]]
    texts: list[list[str]]
    references: list[str]
    prompt_texts: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, list[int]]]:
        """Tokenised samples, n x C, whose target is the completion: for `Signals.over`, to take its gradient."""
        pairs = [(p, run) for p, runs in zip(self.prompts, self.completions, strict=True) for run in runs]
        return [
            {"input_ids": p + run, "labels": [-100] * len(p) + run, "attention_mask": [1] * len(p + run)}
            for p, run in pairs
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """A direction made of gradients, for `Signals.influences` and `Signals.alignments`; `Signals.direction` makes one.

    ``weights`` Float64[G, m] of samples ``ids`` Int64[m] make G weighted sums of plain gradients. The direction is the
    mean of their unit vectors, or, for alignments, of the sums as they are. A sample without a target token adds
    nothing to a sum, and a sum without length does not count.
    """

    samples: Any
    ids: Ids
    weights: NDArray[np.float64]


def direction_of(samples: Any, count: int, ids: Ids, weights: NDArray[np.floating[Any]]) -> Direction:
    """A direction of some of ``count`` samples. Raises `StrategyFault` as `Signals.direction` says."""
    import numpy as np

    ids, given = as_ids(ids, count), np.asarray(weights, dtype=np.float64)
    made = Direction(samples=samples, ids=ids, weights=np.atleast_2d(given))
    if given.ndim not in (1, 2) or made.weights.shape[1] != len(ids) or not made.weights.size:
        shapes = f"weights of shape {given.shape} for ids of shape {ids.shape}"
        raise StrategyFault(f"a direction has {shapes}", hint="give [m] or [G, m] for m ids")
    if not np.isfinite(made.weights).all():
        raise StrategyFault("a weight of a direction is not finite", hint="leave out samples without one")
    return made


class Signals(Protocol):
    """Facts about some samples: those of the pool, of a target subtask, or a strategy's own.

    ``shard`` is Int64[n], sample ids: positions in the pool, the subtask or the rows; n may be 0. Every method that
    takes one is collective: all ranks call it, in the same order, each with its own shard. The model is left as it was
    found: training mode, gradients, random state and hooks, also when a method raises.

    Results are numpy arrays on the host, float32 whatever the model computes in, in the order of the shard, and do not
    depend on the number of ranks. ``model`` is the path of a frozen reference model, or ``"base"``: the model that the
    run started from, without its adapter.

    A method that runs the model makes a pass over the shard. Besides what its own text says, a pass raises `RunFailed`
    where one sample needs more memory than there is, or a batch does and ranks that share a model cannot halve it, and
    `Interrupted` on all ranks where one was asked to end. Neither is for a strategy to catch.
    """

    def __len__(self) -> int:
        """How many samples there are. Not collective; raises nothing."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the target set's subtasks, in order; empty without a target set. Not collective; raises nothing."""

    def target(self, name: str) -> Signals:
        """Signals of a target subtask's samples. Not collective. Raises `UnmetNeed` where none has that name."""

    def holdout(self, domain: str) -> Signals:
        """Signals of the samples of a domain, by its name, that are kept out of training (``dataflex.holdout``).

        At least one. Not collective. Raises `UnmetNeed` where the run keeps none of that name.
        """

    def over(self, rows: Sequence[Mapping[str, Any]], name: str) -> Signals:
        """Signals of tokenised samples of one's own: lists ``input_ids``, ``labels`` and ``attention_mask``.

        All ranks give the same rows; ``name`` tells people, and partial results on disk, what they are. Not collective;
        raises nothing.
        """

    def shard(self, ids: Ids) -> Ids:
        """This rank's part of ``ids`` Int64[N], distinct, as Int64[n] in another order.

        Over all ranks the parts make up ``ids`` exactly once; a part may be empty. Reads lengths only. All ranks give
        the same ``ids``, but none waits for the others; raises nothing.
        """

    def lengths(self, ids: Ids) -> Ids:
        """Tokens of each sample, prompt and target, Int64[n]. Costs no pass. Not collective; raises nothing."""

    def target_tokens(self, ids: Ids) -> Ids:
        """Target tokens of each sample, Int64[n]: 0 where it has no loss and no gradient, and is not to be chosen.

        Costs no pass. Not collective; raises nothing.
        """

    def texts(self, ids: Ids) -> list[str]:
        """Each sample decoded, without special tokens: n texts. Costs no pass. Not collective; raises nothing."""

    def row(self, ids: Ids) -> list[tuple[Row, ...]]:
        """The rows of the data's files that each sample was made of: n tuples, of several rows where they are packed.

        Empty for samples of one's own. Costs no pass. Not collective. Raises `DataError` where nobody knows: of data in
        ``tokenized_path`` that DataFlex did not save.
        """

    def gather(self, ids: Ids, shard: Ids, values: Gathered) -> Gathered:
        """Float32[N, ...], a row per ``ids``, from every rank's Float32[n, ...] for its ``shard``.

        Rows of different lengths are given, by every rank, as a list of n arrays Float32[t], as `token_losses` answers
        with, and come back as a list of N.

        Collective; the same on every rank. The shards of all ranks must make up ``ids``, and all rows of an array have
        one shape: neither is checked here, `dataflex_core.testing` does. Raises nothing of its own.
        """

    def losses(self, shard: Ids, *, model: str | None = None) -> Scores:
        """Mean loss over each sample's target tokens, Float32[n]; NaN where it has none. One forward each.

        Collective. Raises `UnmetNeed` where ``model`` cannot be loaded or has another vocabulary.
        """

    def token_losses(self, shard: Ids, *, model: str | None = None) -> list[Scores]:
        """The loss of each target token: n arrays Float32[t], in order of the tokens, t = 0 where there is none.

        Collective. Raises as `losses`.
        """

    def influence(self, shard: Ids, *, adam: bool = True, layers: str | float = ALL_LAYERS, refresh: int = 1) -> Scores:
        """Largest mean cosine with a target subtask's gradients, Float32[n]: the LESS score (arXiv:2402.04333).

        With ``adam`` a sample's gradient becomes the direction that the running Adam would take for it; where the
        optimizer keeps no Adam moments the gradient itself is compared, and the run says so. NaN where a sample has no
        target token.

        ``layers`` is whose gradients count: those of ``all``, or of the last of the model's transformer layers and what
        lies behind them, ``last-4`` of four, 0.25 of a quarter. The backward pass ends there.

        Collective. The first call of a decision makes a pass over the target set too; with ``refresh`` m, that of every
        m-th decision at which it is asked, and what was found is kept until then, also in checkpoints. Raises
        `UnmetNeed` without a target set and where the model has fewer layers, `StrategyFault` for other ``layers`` and
        for a ``refresh`` below one, and `DataError` where no sample of a subtask has a gradient.
        """

    def influences(
        self,
        shard: Ids,
        *,
        directions: Sequence[Direction] | None = None,
        adam: bool = True,
        layers: str | float = ALL_LAYERS,
        refresh: int = 1,
    ) -> Scores:
        """Mean cosine with each target subtask's gradients, Float32[n, K], in order of ``targets``.

        With ``directions`` it is the product of the sample's unit gradient with each of these K instead, each the mean
        of unit vectors, and no target set is needed: every call makes a pass over the samples that they are made of,
        and holds K gradients; ``refresh`` is of no account.

        Collective; all ranks give the same directions, or `StrategyFault` is raised on all of them, as without any.
        Else, and in what it raises, as `influence`; `DataError` too where a direction has no gradient.
        """

    def alignments(
        self,
        shard: Ids,
        *,
        directions: Sequence[Direction] | None = None,
        adam: bool = True,
        layers: str | float = ALL_LAYERS,
        refresh: int = 1,
    ) -> Scores:
        """Product with each target subtask's mean gradient, Float32[n, K]; nothing is made of length one.

        To first order, and times the learning rate, what a step on the sample takes off the subtask's mean loss: the
        next step of the running Adam, with eps under the root, or, without ``adam``, one of plain gradient descent. NaN
        where a sample has no target token.

        ``directions``, ``layers`` and ``refresh``, and what is raised, as in `influences`. Collective.
        """

    def direction(self, ids: Ids, weights: NDArray[np.floating[Any]]) -> Direction:
        """A direction for `influences` and `alignments`, made of these samples' plain gradients.

        ``weights`` Float[m] are of samples ``ids`` Int64[m]: their weighted sum. Float[G, m] is the mean of G such
        sums, of their unit vectors for `influences`, so that ``numpy.eye(m)`` gives what a target subtask of these
        samples has.

        Not collective, and costs no pass yet. Raises `StrategyFault` for another shape, for ids that there are not, and
        for a weight that is not finite.
        """

    def products(self, a: Ids, b: Ids, *, adam: bool = True) -> Scores:
        """Exact products of samples' gradients with each other, Float32[len(a), len(b)], the same on every rank.

        ``a`` and ``b`` are ids Int64, whole and no shards. Nothing is made of length one, as in `alignments`. With
        ``adam`` both sides are the directions of the running Adam's next step, as there. NaN where a sample has no
        target token.

        For up to some hundred samples: half a GiB of gradients of ``a`` is held, or one gradient, and those of ``b``
        are made anew for each such block. Where ``a`` and ``b`` are the same samples, a block meets itself and those
        after it, and the answer is its own mirror image. No part of it is kept where a run is killed.

        Collective; all ranks give the same ids, or `StrategyFault` is raised on all of them. Raises `StrategyFault`
        for ids that there are not.
        """

    def gradients(
        self, shard: Ids, *, dim: int = 8192, adam: bool = True, unit: bool = True, keep_targets: bool = True
    ) -> Scores:
        """Gradients projected to ``dim`` numbers, Float32[n, dim], for strategies that need vectors.

        Dot products of rows estimate those of the gradients. ``unit`` divides by the exact norm, so that they estimate
        cosines. ``adam`` as in `influence`; the target set's gradients are plain: ``adam=False``. With a target set,
        unless ``keep_targets`` is False, products with a subtask's mean unit gradient are exact. A row of NaN where a
        sample has no target token.

        Collective. With a target set that is kept, the first call of a decision makes a pass over it too. Raises
        `StrategyFault` where ``dim`` is no more than the K subtasks that are kept, and `DataError` as `influence`.
        """

    def embeddings(self, shard: Ids, *, layer: int = -1, pooling: str = "mean", model: str | None = None) -> Scores:
        """Hidden states of a layer, pooled over each sample's tokens, Float32[n, H].

        ``layer`` 0 is the input embedding, -1 the last layer, normed. ``pooling`` is ``mean``, ``last`` (token) or
        ``weighted`` by position (arXiv:2202.08904). ``model`` may be any encoder: it reads the samples' text.

        Collective. Raises `StrategyFault` for another pooling, and `UnmetNeed` where ``model`` cannot be loaded or has
        no such layer.
        """

    def expert_loads(self, shard: Ids) -> Scores:
        """Which experts of a mixture each sample's tokens are sent to, Float32[n, E]: E is layers x experts.

        For each layer in turn, the shares of its router's choices that fell on its experts: of sum one, however many
        choices a token has, and over all tokens, prompt and target, but no padding.

        Collective. Raises `UnmetNeed` where the model in training is no mixture of experts, or hides its routers.
        """

    def generations(
        self,
        shard: Ids,
        *,
        count: int = 1,
        max_new_tokens: int = 128,
        temperature: float | None = None,
        top_p: float = 1.0,
    ) -> Generations:
        """``count`` completions of each sample's prompt, with the run's template; greedy without ``temperature``.

        Draws depend on the seed, the step and the prompt, not on the run's random state or on how prompts are batched.

        Collective. Raises `StrategyFault` for more than one completion without a ``temperature``, and `UnmetNeed` where
        a sample has no prompt, or is more than text.
        """
