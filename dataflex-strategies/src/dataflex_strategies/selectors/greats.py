"""GREATS: a greedy choice that counts what samples do to each other (Wang et al., NeurIPS 2024).

numpy is imported where it is used: describing the parameters stays light.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge
from typing_extensions import Doc

from dataflex_core import Cost, CostRequest, Selection, SelectionRequest, Selector

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]
    Row = Callable[[int], NDArray[np.float64]]

_DIM = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class GreatsParams:
    """How a sample's update is reckoned, and how the next sample is taken."""

    gradient: Annotated[
        Literal["adam", "sgd"],
        Doc("the direction of a training sample: the running Adam's update, or the plain gradient"),
    ] = "adam"
    temperature: Annotated[
        float, Ge(0), Doc("0 takes the sample of the largest gain next, above 0 draws by exp(gain / temperature)")
    ] = 0.0
    exact_up_to: Annotated[
        int, Ge(0), Doc("candidates up to which products are exact; of more they are estimated from projections")
    ] = 512


class GreatsSelector(Selector[GreatsParams]):
    """Chooses, one after the other, the samples that together take most off the loss of the target set.

    With ``Γ`` the direction that the run's own Adam would take for a sample's gradient, ``q`` the mean gradient of the
    target set's samples, and ``η`` the learning rate, sample i is worth ``s``. As j is taken, what the others are worth
    falls by what they would do over again::

        s(i)  = η ⟨Γᵢ, q⟩                        to first order, what a step on i takes off the target set's loss
        s(i) −= η² ⟨Γᵢ, Γⱼ⟩   once j is taken    the second order, the Hessian taken to be the identity

    The largest ``s`` is taken next, ties by the lower number, or, with a ``temperature`` above 0, one is drawn with a
    probability proportional to ``exp(s / temperature)``. Samples without a target token are never taken. The sum of
    ``s`` over what was chosen is the note ``gain``. While the learning rate is 0, as in the first step of its warm-up,
    products count for nothing.

    Up to ``exact_up_to`` candidates the products of samples with each other are exact. Of more, gradients projected to
    8192 numbers, which all lie in memory, give estimates, each off by about a hundredth of the product of the two
    lengths, and the note ``projected`` is 1. ``⟨Γᵢ, q⟩`` is exact in any case. With a mixer each domain is chosen for
    itself.

    Departs from the paper, which is about plain gradient descent: that is ``gradient: sgd``. DataFlex 1.x has no such
    selector.

    When to use: with ``update_steps: 1``, where an interval is the batch of one step and the arithmetic is meant, and
    with ``candidates`` of a few times the batch, a pool that repeats itself, and a target set. Over longer intervals
    everything is taken to happen in a single step, which counts repetition too highly. Each candidate costs two
    gradients.
    """

    def select(self, request: SelectionRequest) -> Selection:
        """Asks for alignments with the target set, and for products of the candidates with each other."""
        import numpy as np

        rate, temperature = request.progress.learning_rate, self.params.temperature
        # Only the order of gains counts without a temperature: that of the limit, where the rate is 0.
        scale = 1.0 if rate == 0 and temperature == 0 else rate
        row, projected = self._products(request)
        picked, gains = _picked(
            scale * self._alignments(request),
            lambda i: scale * rate * row(i),
            request.count,
            temperature,
            request.rng,
        )
        notes = {"gain": float(gains.sum()) if rate else 0.0, "projected": float(projected)}
        return Selection(ids=request.candidates[picked], scores=gains.astype(np.float32), notes=notes)

    def _alignments(self, request: SelectionRequest) -> NDArray[np.float64]:
        """⟨Γ, q⟩ of each candidate, Float64[N]; NaN where it has no target token."""
        import numpy as np

        signals = request.signals
        shard = signals.shard(request.candidates)
        found = signals.alignments(shard, adam=self.params.gradient == "adam")
        sizes = [len(signals.target(name)) for name in signals.targets]
        mean: NDArray[np.float64] = np.average(
            signals.gather(request.candidates, shard, found).astype(np.float64), axis=1, weights=sizes
        )
        return mean

    def _products(self, request: SelectionRequest) -> tuple[Row, bool]:
        """What gives the products of a candidate, by its place, with all of them, Float64[N]; whether it estimates."""
        import numpy as np

        signals, candidates, adam = request.signals, request.candidates, self.params.gradient == "adam"
        if len(candidates) <= self.params.exact_up_to:
            table = signals.products(candidates, candidates, adam=adam).astype(np.float64)
            return table.__getitem__, False
        shard = signals.shard(candidates)
        found = signals.gradients(shard, dim=_DIM, adam=adam, unit=False, keep_targets=False)
        bank = signals.gather(candidates, shard, found)
        # Not by @, whose rounding depends on how many threads there are.
        return lambda i: np.einsum("nd,d->n", bank, bank[i]).astype(np.float64), True


def greedy(
    scores: Numbers,
    products: Numbers,
    count: int,
    *,
    temperature: float = 0.0,
    rng: np.random.Generator | None = None,
) -> NDArray[np.int64]:
    """At most ``count`` places of the best ``scores`` Float[N], Int64, in the order in which they are taken.

    Once j is taken, all scores fall by ``products[j]`` of Float[N, N]. NaN is never taken. The largest is taken next,
    ties by the lower place; with a ``temperature`` above 0 one is drawn by exp(score / temperature), with ``rng``.
    """
    import numpy as np

    table = np.asarray(products, dtype=np.float64)
    return _picked(scores, table.__getitem__, count, temperature, rng)[0]


def cost(params: GreatsParams, request: CostRequest) -> Cost:
    """A candidate's gradient is made for its alignment, and again for its products; a target sample's once."""
    return Cost(candidate=2.0, target=1.0)


def _picked(
    scores: Numbers, row: Row, count: int, temperature: float, rng: np.random.Generator | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The places that are taken, and the score of each as it was taken; ``row`` gives the products of a place."""
    import numpy as np

    left = np.where(np.isnan(scores), -np.inf, np.asarray(scores, dtype=np.float64))
    picked: list[int] = []
    gains: list[float] = []
    for _ in range(min(count, int(np.isfinite(left).sum()))):
        keys = left
        if temperature > 0:
            assert rng is not None, "a draw takes a generator"
            keys = left / temperature + rng.gumbel(size=len(left))
        best = int(np.argmax(keys))
        picked.append(best)
        gains.append(float(left[best]))
        left = np.where(np.isneginf(left), left, left - row(best))
        left[best] = -np.inf
    return np.array(picked, dtype=np.int64), np.array(gains, dtype=np.float64)
