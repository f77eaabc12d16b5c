"""Strategies held to their contracts: built, asked, and their answers checked, by a run and by the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import (
    ScoringSelector,
    Selection,
    SelectionRequest,
    Selector,
)

if TYPE_CHECKING:
    pass

Ids = NDArray[np.int64]


def selections(
    selector: Selector[Any],
    request: SelectionRequest,
    groups: Sequence[Ids],
    wanted: Ids,
    rng: Callable[[int], np.random.Generator],
) -> Iterator[tuple[int, SelectionRequest, Selection]]:
    """Ask for ``wanted[k]`` of each group: the group, what the selector was asked for, and its answer, unchecked.

    ``request.candidates`` is the ascending union of the groups that want any; the others are not asked about. More
    than a group has is asked for as all of it. ``rng`` gives the generator of a group.
    """
    # One pass over all domains: scoring a domain at a time would pad more, and take target gradients no less.
    scores = selector.scores(request) if isinstance(selector, ScoringSelector) else None
    for k in np.flatnonzero(wanted).tolist():
        part = request.narrowed(groups[k], min(int(wanted[k]), len(groups[k])), rng(k))
        if isinstance(selector, ScoringSelector) and scores is not None:
            yield k, part, selector.choose(part, scores[np.searchsorted(request.candidates, groups[k])])
        else:
            yield k, part, selector.select(part)


def what_is_wrong(selection: Selection, request: SelectionRequest) -> str | None:
    """How a selection breaks its contract, or None."""
    ids = np.asarray(selection.ids)
    if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        return f"answers with {ids.dtype} of shape {ids.shape}, not with sample ids"
    if len(ids) > request.count:
        return f"chose {len(ids)} samples, {request.count} were asked for"
    if len(np.unique(ids)) < len(ids):
        return "chose a sample twice"
    if not np.isin(ids, request.candidates).all():
        return "chose a sample that is no candidate"
    return None
