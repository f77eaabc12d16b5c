"""Strategies held to their contracts: built, asked, and their answers checked, by a run and by the conformance kit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import StrategyFault
from dataflex_core.prepare import Chosen
from dataflex_core.spec import Kind, Need
from dataflex_core.strategy import (
    Mixer,
    ScoringSelector,
    Selection,
    SelectionRequest,
    Selector,
    Strategy,
    TokenLosses,
    Weighter,
)

if TYPE_CHECKING:
    import torch

Ids = NDArray[np.int64]
_CONTRACTS: dict[Kind, type[Strategy[Any]]] = {Kind.SELECTOR: Selector, Kind.MIXER: Mixer, Kind.WEIGHTER: Weighter}


def make_strategy(chosen: Chosen) -> Strategy[Any]:
    """Import and build a strategy. Raises `StrategyFault` for one that is no implementation of its contract."""
    spec = chosen.record.spec
    implementation, contract = chosen.record.load(), _CONTRACTS[spec.kind]
    if not isinstance(implementation, type) or not issubclass(implementation, contract):
        raise StrategyFault(f"{chosen.title}: {spec.target} is no {contract.__name__}")
    missing = sorted(getattr(implementation, "__abstractmethods__", ()))
    if missing:
        raise StrategyFault(f"{chosen.title}: {implementation.__name__} lacks {', '.join(missing)}()")
    observes = issubclass(implementation, Mixer) and implementation.observe is not Mixer.observe
    if observes and Need.TRAINING_LOSSES not in spec.needs:
        raise StrategyFault(
            f"{chosen.title} observes training losses and does not declare it",
            hint="add Need.TRAINING_LOSSES to the needs of its StrategySpec",
        )
    return implementation(chosen.params)


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


def token_weights(weights: Any, losses: TokenLosses) -> torch.Tensor:
    """Float32[B, T] weights whose mean over the target tokens is one; raises ValueError saying how they cannot be."""
    import torch

    rows, width = losses.values.shape
    shape = tuple(weights.shape) if torch.is_tensor(weights) else type(weights).__name__
    if shape not in {(rows,), (rows, width)}:
        raise ValueError(f"answers with {shape}, not with {rows} or {rows} x {width} weights")
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise ValueError("answers with weights that are not finite and >= 0")
    tokens = weights.detach().to(losses.values)
    tokens = tokens[:, None].expand(rows, width) if tokens.ndim == 1 else tokens
    if not bool(losses.mask.any()):
        return torch.ones_like(losses.values)
    mean = tokens[losses.mask].mean()
    if not bool(mean > 0):
        raise ValueError("answers with zero for every target token")
    normalised: torch.Tensor = tokens / mean
    return normalised
