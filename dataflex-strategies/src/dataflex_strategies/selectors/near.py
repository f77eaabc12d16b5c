"""Selection of nearest neighbours. numpy is imported where it is used: describing stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import MinLen
from typing_extensions import Doc

from dataflex_core import CheckRequest, Need, Selection, SelectionRequest, Selector, SetupContext, UsageError
from dataflex_strategies.arrays import read_array
from dataflex_strategies.embedded import Embedder, Pooling, trainable
from dataflex_strategies.neighbours import Library, check_installed, nearest, unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearParams:
    """What is near."""

    layer: Annotated[int, Doc("whose hidden states embed a sample: 0 is the input embedding, -1 the last layer")] = -1
    pooling: Annotated[Pooling, Doc("how they are pooled over a sample's tokens")] = "mean"
    metric: Annotated[Literal["cosine", "euclidean"], Doc("by angle, or by distance")] = "cosine"
    library: Annotated[Library, Doc("who looks for neighbours, exactly either way: faiss is an extra to install")] = (
        "scikit-learn"
    )
    from_file: Annotated[
        Annotated[str, MinLen(1)] | None,
        Doc("a .npy file of neighbours, Int[M, C]: a target a row, ids of the pool, the nearest first"),
    ] = None


class NearSelector(Selector[NearParams]):
    """Chooses the nearest neighbours of the samples of a target set, every target in turn.

    Candidates and targets are embedded with the model in training, with ``metric: cosine`` as vectors of length one.
    Each of M targets has its candidates in a row, the nearest first. This table is walked column by column: first the
    nearest candidate of each target, then the second nearest of each, and so on, without repeats. What was chosen at
    an earlier decision goes last, until all candidates have been chosen; so decisions differ. The score of a chosen
    sample is its cosine with the nearest target in whose row it stands, or its distance to it below zero.

    Costs a forward pass of each candidate and of each target, and a search that compares all of them. Embeddings of the
    candidates are held in memory, four bytes a number; a table of neighbours as wide as is needed; distances of all
    pairs never. Ties are by id. Samples without a target token are never chosen.

    Departs from DataFlex 1.x, which reads a table made beforehand by another model (``from_file`` takes it, and then
    nothing is embedded), chooses the same samples at each decision, and stops where the table has too few. There is no
    paper.

    When to use: with examples of the task, where what looks like them is what helps, and gradients are too dear. Not
    where many candidates are copies of each other: they are chosen together, and ``tsds`` does not do that. Nor where a
    run trains on most of the pool: nothing is chosen twice, so that it goes on with what lies ever further away. In 90
    steps over two thirds of a pool the held-out loss ended at 4.91, with random samples at 3.91.
    """

    def __init__(self, params: NearParams) -> None:
        super().__init__(params)
        self._embedder = Embedder(layer=params.layer, pooling=params.pooling)
        self._listed: Ids | None = None

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` where faiss is not installed, or a file of neighbours does not fit the pool."""
        import numpy as np

        check(self.params, CheckRequest())
        self._chosen: NDArray[np.bool_] = np.zeros(context.pool, dtype=np.bool_)
        if self.params.from_file is not None:
            table = neighbours_in(self.params.from_file, context.pool)
            self._listed = walk(table, context.pool)

    def select(self, request: SelectionRequest) -> Selection:
        """The next of the walk that were not chosen before."""
        import numpy as np

        request = trainable(request)
        if len(request.candidates) == 0:
            return Selection(ids=request.candidates)
        if self._listed is None:
            order, distances = self._walked(request)
        else:
            order, distances = self._listed[np.isin(self._listed, request.candidates)], None
        fresh, old = order[~self._chosen[order]], order[self._chosen[order]]
        ids = np.concatenate([fresh, old])[: request.count]
        if len(fresh) < request.count:
            self._chosen[request.candidates] = False
        self._chosen[ids] = True
        if distances is None:
            return Selection(ids=ids)
        near = distances[np.searchsorted(request.candidates, ids)]
        scores = 1 - near**2 / 2 if self.params.metric == "cosine" else -near
        return Selection(ids=ids, scores=scores.astype(np.float32))

    def state_dict(self) -> dict[str, Any]:
        """What was chosen, Bool[pool]."""
        return {"chosen": self._chosen.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with what was not."""
        self._chosen = state["chosen"].copy()

    def _walked(self, request: SelectionRequest) -> tuple[Ids, NDArray[np.float64]]:
        """Candidates in the order of the walk, enough of them or all; and how far each, Float64[N], is from a target.

        That is the nearest target in whose row it stands; inf for those in none.
        """
        import numpy as np

        points, targets = self._embedder.candidates(request), self._embedder.targets(request)
        if self.params.metric == "cosine":
            points, targets = unit(points), unit(targets)
        used = self._chosen[request.candidates]
        width = min(len(points), 1 + 2 * (request.count + int(used.sum())) // len(targets))
        while True:
            distances, table = nearest(points, targets, width, library=self.params.library)
            order = walk(table, len(points))
            if width == len(points) or np.count_nonzero(~used[order]) >= request.count:
                break
            width = min(len(points), 2 * width)
        near = np.full(len(points), np.inf)
        np.minimum.at(near, table, distances)
        return request.candidates[order], near


def walk(neighbours: Ids, count: int) -> Ids:
    """The first ``count`` of a table Int64[M, C], column by column, without repeats; fewer where it has fewer."""
    import numpy as np

    flat = neighbours.T.reshape(-1)
    _, first = np.unique(flat, return_index=True)
    return flat[np.sort(first)[:count]]


def neighbours_in(path: str, pool: int) -> Ids:
    """A table of a file, Int64[M, C]. Raises `UsageError` where it is none, or not of a pool of that size."""
    table = read_array(path, "near")
    if table.ndim != 2 or table.dtype.kind not in "iu" or not table.size:
        said = f"near: {path} holds {table.dtype} of shape {table.shape}"
        raise UsageError(said, hint="give whole numbers, a row for each target")
    if table.min() < 0 or table.max() >= pool:
        said = f"near: {path} has ids {table.min()} to {table.max()}, and the pool {pool} samples"
        raise UsageError(said, hint="a file fits the data that it was made for, in the same order")
    return table.astype("i8")


def check(params: NearParams, request: CheckRequest) -> None:
    """Raises `UsageError` where faiss is not installed."""
    check_installed(params.library, "near")


def needs(params: NearParams) -> set[Need]:
    """Embeddings and a target set, unless the neighbours come from a file."""
    return {Need.EMBEDDINGS, Need.TARGET_SET} if params.from_file is None else set()
