"""TSDS: data selection as optimal transport (Liu et al., 2024, arXiv:2410.11303)."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Gt, Le, MinLen
from typing_extensions import Doc

from dataflex_core import (
    CheckRequest,
    Need,
    Selection,
    SelectionRequest,
    Selector,
    SetupContext,
    UsageError,
    gumbel_top,
)
from dataflex_strategies.arrays import read_array
from dataflex_strategies.embedded import Embedder, Pooling, trainable
from dataflex_strategies.neighbours import Library, blocks, check_installed, nearest, unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = NDArray[np.floating]
    Numbers = NDArray[np.float64]
    Ids = NDArray[np.int64]

_FIRST = 16  # neighbours of each target whose densities are worked out at first
_BLOCK = 2**22  # numbers of a block of targets: 32 MB an array


@dataclass(frozen=True, slots=True, kw_only=True)
class TsdsParams:
    """How closely the choice follows the target set, and how far it spreads."""

    sigma: Annotated[
        float, Ge(0), Doc("how near candidates are near duplicates, as a distance of unit vectors; 0: none are")
    ] = 0.75
    alpha: Annotated[float, Gt(0), Le(1), Doc("near 1 stays at each target's nearest, near 0 spreads wide")] = 0.6
    c: Annotated[float, Gt(0), Doc("the scale of distances: twice as large spreads as far as half the distances")] = 5.0
    max_k: Annotated[int, Ge(1), Doc("how many neighbours of a target are looked at")] = 5000
    kde_k: Annotated[int, Ge(1), Doc("how many neighbours of a candidate its density counts")] = 1000
    layer: Annotated[int, Doc("whose hidden states embed a sample: 0 is the input embedding, -1 the last layer")] = -1
    pooling: Annotated[Pooling, Doc("how they are pooled over a sample's tokens")] = "mean"
    library: Annotated[Library, Doc("who looks for neighbours, exactly either way: faiss is an extra to install")] = (
        "scikit-learn"
    )
    from_file: Annotated[
        Annotated[str, MinLen(1)] | None, Doc("a .npy file of probabilities, Float[pool], to draw by instead")
    ] = None


class TsdsSelector(Selector[TsdsParams]):
    """Draws by probabilities that fit the candidates to a target set, near duplicates counting as one.

    Candidates and targets are embedded with the model in training, as vectors of length one. ``d_jk`` is the distance
    of target j, of M, to its k-th nearest candidate, of ``max_k``, and a candidate's density sums over its ``kde_k``
    nearest candidates, itself included::

        ρᵢ = Σ max(0, 1 − d² / sigma²)          1 where sigma is 0

    The candidates of a target enter in order of distance, each with mass 1/ρ, those first whose target has the least
    mass with them, until the targets' costs, summed, reach a bound::

        cost_j = d of the next one × mass of target j − Σ d/ρ of those that have entered
        (alpha / c) Σ cost_j ≥ (1 − alpha) M

    With ``s`` the mass then, each target gives ``1/(M s ρᵢ)`` to each candidate that has entered, and what is missing
    to 1/M to the next one. The sums are the probabilities; the draw is without replacement (Gumbel top-k). Candidates
    that no target has among its nearest, or that have no target token, are not drawn: where fewer than asked for are
    left, that is a shortage.

    Costs a forward pass of each candidate and of each target, and searches: of the targets among the candidates, and of
    the candidates that enter, whose densities are needed, among all. Embeddings of the candidates are held in memory,
    four bytes a number, and ``max_k`` neighbours of each target, sixteen bytes each; distances of all pairs never.
    Where a mixer sets quotas each domain is fitted by itself.

    Departs from the paper, and from DataFlex 1.x, in that embeddings are of the model in training, neighbours are
    exact, and densities count all candidates. DataFlex 1.x reads probabilities made beforehand: ``from_file`` takes
    them, and then nothing is embedded.

    When to use: with examples of the task, and a pool with many near duplicates, of which it would be a waste to train
    on all. Not for a pool that is hardly larger than what is trained on: the support is small.
    """

    def __init__(self, params: TsdsParams) -> None:
        super().__init__(params)
        self._embedder = Embedder(layer=params.layer, pooling=params.pooling)
        self._given: Numbers | None = None

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` where faiss is not installed, or a file of probabilities does not fit the pool."""
        check(self.params, CheckRequest())
        if self.params.from_file is not None:
            self._given = probabilities_in(self.params.from_file, context.pool)

    def select(self, request: SelectionRequest) -> Selection:
        """A draw; the note ``support`` is the share of the candidates that could be drawn."""
        import numpy as np

        request = trainable(request)
        if len(request.candidates) == 0:
            return Selection(ids=request.candidates)
        p = self._probabilities(request) if self._given is None else self._given[request.candidates]
        with np.errstate(divide="ignore"):
            ids = gumbel_top(request.candidates, np.log(p), request.count, request.rng)
        scores = p[np.searchsorted(request.candidates, ids)].astype(np.float32)
        return Selection(ids=ids, scores=scores, notes={"support": float((p > 0).mean())})

    def _probabilities(self, request: SelectionRequest) -> Numbers:
        params = self.params
        return probabilities(
            unit(self._embedder.candidates(request)),
            unit(self._embedder.targets(request)),
            alpha=params.alpha,
            c=params.c,
            sigma=params.sigma,
            max_k=params.max_k,
            kde_k=params.kde_k,
            library=params.library,
        )


def probabilities(
    candidates: Points,
    targets: Points,
    *,
    alpha: float,
    c: float,
    sigma: float,
    max_k: int,
    kde_k: int,
    library: Library = "scikit-learn",
) -> Numbers:
    """Probabilities Float64[N], of sum one, of ``candidates`` Float[N, H] for ``targets`` Float[M, H], as they are.

    ``max_k`` and ``kde_k`` are at most N − 1, and at least 1.
    """
    import numpy as np

    most = max(1, len(candidates) - 1)
    distances, rows = nearest(candidates, targets, min(max_k, most), library=library)
    density = Densities(candidates, sigma, min(kde_k, most), library)
    level, width = _level(distances, rows, density, (1 - alpha) * len(targets) * c / alpha)
    p, size = np.zeros(len(candidates)), max(1, _BLOCK // width)
    for start in range(0, len(rows), size):
        part = rows[start : start + size, :width]
        np.add.at(p, part, _given(1 / (len(targets) * level * density.of(part)), 1 / len(targets)))
    return _normalised(p)


class Densities:
    """Densities of candidates Float[N, H], each worked out when it is first asked for."""

    def __init__(self, candidates: Points, sigma: float, kde_k: int, library: Library = "scikit-learn") -> None:
        import numpy as np

        self._candidates, self._sigma, self._kde_k, self._library = candidates, sigma, kde_k, library
        self._known = np.full(len(candidates), 1.0 if sigma == 0 else np.nan)

    def of(self, rows: Ids) -> Numbers:
        """Of the candidates that ``rows`` Int64[M, K] name, Float64[M, K]."""
        import numpy as np

        asked = np.zeros(len(self._known), dtype=np.bool_)
        asked[rows] = True
        fresh, done = np.flatnonzero(asked & np.isnan(self._known)), 0
        for near, _ in blocks(self._candidates, self._candidates[fresh], self._kde_k, library=self._library):
            with np.errstate(over="ignore"):  # far beyond sigma
                far = np.minimum(1, near / self._sigma)
            sums = (1 - far**2).sum(axis=1)
            # A candidate is its own nearest, up to rounding, so that no density is below one.
            self._known[fresh[done : done + len(near)]] = np.maximum(1.0, sums)
            done += len(near)
        return self._known[rows]


def _level(distances: Numbers, rows: Ids, density: Densities, bound: float) -> tuple[float, int]:
    """The mass at which costs reach ``bound``, and how many neighbours of a target have entered by then, at most.

    Where costs never reach it, the mass is that of the last candidate to enter.
    """
    width = min(_FIRST, rows.shape[1])
    masses = 1 / density.of(rows[:, :width])
    queue = [(mass, j, 0) for j, mass in enumerate(masses[:, 0].tolist())]
    heapify(queue)
    entered = (distances[:, 0] * masses[:, 0]).tolist()  # Σ d/ρ of each target
    costs, total, level = [0.0] * len(rows), 0.0, float(queue[0][0])
    while queue:
        level, j, k = heappop(queue)
        if k + 1 == rows.shape[1]:
            continue
        following = float(distances[j, k + 1])
        cost = following * level - entered[j]
        total += cost - costs[j]
        costs[j] = cost
        if total >= bound:
            break
        if k + 1 == width:
            width = min(2 * width, rows.shape[1])
            masses = 1 / density.of(rows[:, :width])
        mass = float(masses[j, k + 1])
        entered[j] += following * mass
        heappush(queue, (level + mass, j, k + 1))
    return level, width


def _given(most: Numbers, share: float) -> Numbers:
    """What targets give their neighbours, Float64[M, K], ``most`` or what is left of a ``share``; the last takes it."""
    import numpy as np

    left = np.clip(share - np.cumsum(most, axis=1), 0, None)
    before = np.concatenate([np.full((len(most), 1), share), left[:, :-1]], axis=1)
    given: Numbers = np.minimum(most, before)
    given[:, -1] = before[:, -1]
    return given


def _normalised(p: Numbers) -> Numbers:
    made: Numbers = p / p.sum()
    return made


def probabilities_in(path: str, pool: int) -> Numbers:
    """Probabilities of a file, Float64[pool]. Raises `UsageError` where they are none, or not of such a pool."""
    import numpy as np

    given = read_array(path, "tsds")
    if given.ndim != 1 or given.dtype.kind not in "fiu" or len(given) != pool:
        said = f"tsds: {path} holds {given.dtype} of shape {given.shape}, and the pool {pool} samples"
        raise UsageError(said, hint="give one number for each sample, in the order of the pool")
    numbers = given.astype(np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or not numbers.any():
        raise UsageError(f"tsds: {path} holds no probabilities", hint="give finite numbers >= 0, not all zero")
    return _normalised(numbers)


def check(params: TsdsParams, request: CheckRequest) -> None:
    """Raises `UsageError` where faiss is not installed."""
    check_installed(params.library, "tsds")


def needs(params: TsdsParams) -> set[Need]:
    """Embeddings and a target set, unless the probabilities come from a file."""
    return {Need.EMBEDDINGS, Need.TARGET_SET} if params.from_file is None else set()
