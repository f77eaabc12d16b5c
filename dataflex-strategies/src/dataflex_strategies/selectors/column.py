"""Selection by what is known of each sample beforehand. numpy is imported where it is used: describing stays light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from typing_extensions import Doc

from dataflex_core import (
    CheckRequest,
    RowScores,
    ScoringSelector,
    Selection,
    SelectionRequest,
    SetupContext,
    UsageError,
    rounded_down,
    rounded_up,
    top,
)
from dataflex_strategies.columns import check_carried, numbers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Values = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnParams:
    """Which values, and which of them are wanted."""

    column: Annotated[str, MinLen(1), Doc("the column: of the data, or of the file that scores names")] = "score"
    scores: Annotated[
        Annotated[str, MinLen(1)] | None,
        Doc("a Parquet file with the columns dataset, file and row, as dataflex score writes; null: the data's own"),
    ] = None
    take: Annotated[
        Literal["top", "bottom", "band", "threshold"],
        Doc("the highest, the lowest, any of a band of ranks, or any from a threshold on"),
    ] = "top"
    low: Annotated[float, Ge(0), Lt(1), Doc("the share of the values, lowest first, below a band")] = 0.33
    high: Annotated[float, Gt(0), Le(1), Doc("the share below its end")] = 0.66
    threshold: Annotated[float, Doc("the least value that is taken, with take=threshold")] = 0.0


class ColumnSelector(ScoringSelector[ColumnParams]):
    """Chooses by a number that each sample brings along, and asks the model nothing.

    The number ``v`` is what the data's files have in a column, which ``dataflex.columns`` has to name, or what a file
    of scores has for the rows that the sample is made of, their mean where they are several. With the ``n`` candidates
    that have one ranked by it, the lowest first::

        top         the highest v
        bottom      the lowest v
        band        a uniform draw of the ranks from low n to high n
        threshold   a uniform draw of those with v >= threshold

    ``top`` and ``bottom`` choose the same samples at each decision that has the same candidates, ``band`` and
    ``threshold`` draw afresh. Samples without a number are never chosen, and are counted in the note ``missing``.

    Numbers are ranked as they are, to the digits of a float64; the scores that the journal has of them are rounded.

    When to use: to train on what ``dataflex score`` found, once and for all, or on ratings of your own, beside other
    strategies and at no cost. Where a value does not depend on the model in training, judging anew at each decision
    would be wasted.
    """

    def __init__(self, params: ColumnParams) -> None:
        super().__init__(params)
        self._rows: RowScores | None = None
        self._values: Values | None = None
        self._known: NDArray[np.bool_] | None = None

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` where the column is not there, or holds no numbers, and for an empty band."""
        import numpy as np

        params = self.params
        check(params, CheckRequest(columns=context.columns))
        if params.scores is not None:
            self._rows = RowScores(params.scores, params.column)
            self._values = np.zeros(context.pool, dtype=self._rows.dtype)
            self._known = np.zeros(context.pool, dtype=np.bool_)
            return
        self._values = numbers(context, params.column, "column")

    def score(self, request: SelectionRequest, shard: Ids) -> Scores:
        """What each sample brings along, rounded; NaN where it brings nothing."""
        import numpy as np

        # Of all candidates, not of the shard alone: ranks exchange what is rounded, and the choice goes by these.
        return self._known_of(request)[shard].astype(np.float32)

    def choose(self, request: SelectionRequest, scores: Scores) -> Selection:
        """Raises `UsageError` where no candidate has a value, or one that is wanted."""
        import numpy as np

        values = np.where(np.isnan(scores), np.nan, self._known_of(request)[request.candidates])
        missing = int(np.isnan(values).sum())
        if missing == len(values):
            where = self.params.scores or "the data"
            raise UsageError(
                f"column: none of {missing} candidates has a value of {self.params.column} in {where}",
                hint="rows are looked up by data set, file name and number: they have to be those of this run",
            )
        by = values if self.params.take == "threshold" else in_order(scores, values)
        ids = taken(request.candidates, by, request.count, self.params, request.rng)
        if len(ids) == 0:
            raise UsageError(
                f"column: none of {len(values)} candidates has {self.params.column} >= {self.params.threshold}",
                hint=f"lower the threshold: the highest value is {np.nanmax(values):.10g}",
            )
        return Selection(ids=ids, notes={"missing": float(missing)})

    def _known_of(self, request: SelectionRequest) -> Values:
        """By sample of the pool, what each candidate brings along; read from the file of scores where it is not yet."""
        assert self._values is not None, "setup comes first"
        if self._rows is not None and self._known is not None:
            unread = request.candidates[~self._known[request.candidates]]
            if len(unread):
                self._values[unread] = self._rows.of(request.signals.row(unread))
                self._known[unread] = True
        return self._values


def check(params: ColumnParams, request: CheckRequest) -> None:
    """Raises `UsageError` for an empty band, and where the run does not carry the column."""
    if params.take == "band" and params.low >= params.high:
        raise UsageError(f"column: the band from {params.low} to {params.high} is empty", hint="let low be below high")
    if params.scores is None:
        check_carried(params.column, request, "column")


def in_order(scores: Scores, values: Values) -> NDArray[np.float64]:
    """Float64[N] in the order of ``scores`` Float32[N], and of ``values`` [N] where these are alike; NaN stays."""
    import numpy as np

    order, places = np.lexsort((values, scores)), np.full(len(scores), np.nan)
    alike = (np.diff(scores[order]) == 0) & (np.diff(values[order]) == 0)
    places[order] = np.concatenate([[0], np.cumsum(~alike)])
    return np.where(np.isnan(scores), np.nan, places)


def taken(candidates: Ids, values: Values, count: int, params: ColumnParams, rng: np.random.Generator) -> Ids:
    """At most ``count`` of ``candidates`` Int64[N] by their ``values`` Float[N], as ``params`` say; NaN never."""
    if params.take in ("top", "bottom"):
        return top(candidates, values if params.take == "top" else -values, count)
    if params.take == "threshold":
        within = candidates[values >= values.dtype.type(params.threshold)]
    else:
        ranked = top(candidates, -values, len(candidates))
        first = rounded_down(params.low * len(ranked))
        within = ranked[first : max(first + 1, rounded_up(params.high * len(ranked)))]
    return rng.choice(within, size=min(count, len(within)), replace=False)
