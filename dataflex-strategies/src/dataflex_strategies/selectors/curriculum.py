"""A curriculum: the whole pool in one order. numpy is imported where it is used: describing stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Le, Lt, MinLen
from typing_extensions import Doc

from dataflex_core import (
    CheckRequest,
    CostRequest,
    Need,
    Selection,
    SelectionRequest,
    Selector,
    SetupContext,
    UsageError,
)
from dataflex_strategies.columns import check_carried, numbers
from dataflex_strategies.patterns import Pattern, arranged, overlaps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurriculumParams:
    """What the order goes by, and how it is arranged."""

    score: Annotated[
        Literal["loss", "length", "column"],
        Doc("what is low for an easy sample: its loss, its tokens, or a column of the data, as column names it"),
    ] = "loss"
    column: Annotated[
        Annotated[str, MinLen(1)] | None, Doc("the column to go by, of those that dataflex.columns names")
    ] = None
    pattern: Annotated[Pattern, Doc("how the samples, in the order of their scores, are arranged")] = "sort"
    hardest_first: Annotated[bool, Doc("begin with the highest scores")] = False
    refresh: Annotated[bool, Doc("score and arrange what is left anew at each decision")] = False
    cycles: Annotated[int, Ge(1), Doc("how often fold, zigzag, stair and saw go through the scores")] = 3
    sections: Annotated[int, Ge(1), Doc("the sections of stair and saw")] = 2
    rho: Annotated[float, Ge(0), Lt(0.5), Doc("how far from a border, as a share of the pool, stair and saw fold")] = (
        0.15
    )
    low: Annotated[float, Ge(0), Le(1), Doc("the share that segment puts first")] = 0.2
    high: Annotated[float, Ge(0), Le(1), Doc("the share that segment puts last")] = 0.2
    window: Annotated[int, Ge(0), Doc("shuffle each so many samples; 0 and 1: none")] = 0


class CurriculumSelector(Selector[CurriculumParams]):
    """Trains the whole pool in an order by a score, a slice at each decision: each sample once before any again.

    The samples x, in the order of their scores, the lowest first (``hardest_first``: last), are arranged at the first
    decision. With N of them::

        sort           x
        fold           x[0::cycles], x[1::cycles], …
        zigzag         as fold, every second cycle reversed
        stair, saw     x, but within round(rho N) of each of the borders round(N s / sections) between
                       sections the stretch is folded (stair) or zigzagged (saw)
        segment        the first round(low N) of x, the others shuffled, the last round(high N) of x
        shuffle        x, shuffled

    Then each block of ``window`` samples is shuffled. A decision trains the samples that come next, in this order;
    beside a mixer those of each domain, interleaved by quota. After the last sample the order begins anew. With
    ``refresh`` the samples that are left are scored and arranged at each decision, and without it once more where a
    run is resumed with other parameters. Samples without a score, NaN, are
    never trained, and are counted in the note ``missing``.

    By loss it costs a forward pass of the pool at the first decision, with ``refresh`` of what is left at each one; by
    length or column nothing. It has to be given the whole pool: ``candidates: all``.

    Departs from the paper (arXiv:2605.30334), whose scores are ratings given beforehand: here the model's own loss will
    do. In DataFlex 1.x this is ``dynamic_reorder``, whose ``segment`` shuffles both ends too.

    When to use: in a run of one pass or more whose order matters: easy before hard, short before long, or the best of a
    rating last, with ``column``. ``fold`` and ``zigzag`` come back to easy samples, ``stair`` and ``saw`` soften the
    change between sections. Not to train less: all samples are trained, and a run that ends early has seen the first
    of the order only. Compare it with ``pattern: shuffle``.
    """

    def __init__(self, params: CurriculumParams) -> None:
        super().__init__(params)
        self._column: NDArray[np.float64] | None = None
        self._order: Ids | None = None

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` for parameters that do not fit together, and for a column that holds no numbers."""
        import numpy as np

        check(self.params, CheckRequest(columns=context.columns))
        if self.params.column is not None:
            self._column = numbers(context, self.params.column, "curriculum")
        self._scores: Scores = np.full(context.pool, np.nan, dtype=np.float32)
        self._trained: NDArray[np.bool_] = np.zeros(context.pool, dtype=np.bool_)

    def select(self, request: SelectionRequest) -> Selection:
        """The samples that come next, in order."""
        import numpy as np

        trained = self._trained[request.candidates]
        chosen = self._in_order(request, request.candidates[~trained])[: request.count]
        self._trained[chosen] = True
        if len(chosen) < request.count:
            more = self._in_order(request, request.candidates[trained])[: request.count - len(chosen)]
            chosen = np.concatenate([chosen, more])
            self._trained[request.candidates] = False
            self._trained[more] = True
        missing = float(np.isnan(self._scores[request.candidates]).sum())
        return Selection(ids=chosen, ordered=True, scores=self._scores[chosen], notes={"missing": missing})

    def state_dict(self) -> dict[str, Any]:
        """The order Int64[N], with what it was made, its scores Float32[pool], and what has been trained Bool[pool]."""
        return {
            "order": self._order,
            "made_with": self._made_with(),
            "scores": self._scores.copy(),
            "trained": self._trained.copy(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on in the same order, unless the parameters have come to ask for another."""
        same = state.get("made_with", self._made_with()) == self._made_with()
        self._order = state["order"].copy() if same and state["order"] is not None else None
        self._scores, self._trained = state["scores"].copy(), state["trained"].copy()

    def _made_with(self) -> dict[str, Any]:
        """What an order hangs on, of the parameters."""
        made = asdict(self.params)
        del made["refresh"]
        return made

    def _in_order(self, request: SelectionRequest, ids: Ids) -> Ids:
        """Those of ``ids`` that have a score, in the order of training. Collective where it scores."""
        import numpy as np

        if self.params.refresh:
            return self._arranged(request, ids)
        if self._order is None:
            self._order = self._arranged(request, np.arange(len(self._scores)))
        asked = np.zeros(len(self._scores), dtype=np.bool_)
        asked[ids] = True
        return self._order[asked[self._order]]

    def _arranged(self, request: SelectionRequest, ids: Ids) -> Ids:
        import numpy as np

        params = self.params
        scores = self._score(request, ids)
        self._scores[ids] = scores
        ids, scores = ids[~np.isnan(scores)], scores[~np.isnan(scores)]
        order = ids[np.argsort(-scores if params.hardest_first else scores, kind="stable")]
        return arranged(
            order,
            params.pattern,
            cycles=params.cycles,
            sections=params.sections,
            rho=params.rho,
            low=params.low,
            high=params.high,
            window=params.window,
            rng=request.rng,
        )

    def _score(self, request: SelectionRequest, ids: Ids) -> NDArray[np.float64]:
        signals = request.signals
        if self._column is not None:
            return self._column[ids]
        if self.params.score == "length":
            return signals.lengths(ids).astype("f8")
        shard = signals.shard(ids)
        return signals.gather(ids, shard, signals.losses(shard)).astype("f8")


def check(params: CurriculumParams, request: CheckRequest) -> None:
    """Raises `UsageError` for parameters that do not fit together, and where the run does not carry the column."""
    if params.score == "column" and params.column is None:
        raise UsageError("curriculum: score is column, and no column is named", hint="set column")
    if params.score == "length" and params.column is not None:
        raise UsageError("curriculum: goes by length, and names a column too", hint="leave score or column out")
    if params.column is not None:
        check_carried(params.column, request, "curriculum")
    if params.pattern in ("stair", "saw") and overlaps(params.sections, params.rho):
        most = 1 / (2 * params.sections)
        said = f"curriculum: stretches of {params.rho:g} on either side of the borders of {params.sections} sections"
        raise UsageError(f"{said} reach into each other", hint=f"let rho be below {most:.4g}")
    if params.pattern == "segment" and params.low + params.high > 1:
        raise UsageError("curriculum: low and high are more than the pool", hint="let their sum be at most 1")


def needs(params: CurriculumParams) -> set[Need]:
    """Losses, where the order is by loss."""
    return {Need.LOSSES} if _by_loss(params) else set()


def cost(params: CurriculumParams, request: CostRequest) -> float:
    """A forward pass of each sample at the first decision, or at each; nothing where the order is not by loss."""
    return 1 / 3 if _by_loss(params) and (params.refresh or request.decision == 1) else 0.0


def _by_loss(params: CurriculumParams) -> bool:
    return params.score == "loss" and params.column is None
