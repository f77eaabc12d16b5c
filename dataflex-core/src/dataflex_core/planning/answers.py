"""What strategies are asked at a decision, and their answers held to the contract: numpy only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.contracts import ScoringSelector, Selector
from dataflex_core.errors import StrategyFault
from dataflex_core.planning.exhaustion import BY_OTHERS, REPEAT, Exhaustion, Shortage, Supply
from dataflex_core.planning.judging import Judged
from dataflex_core.planning.plan import interleaved, stretched
from dataflex_core.planning.quotas import ONE_EACH, normalised, quotas
from dataflex_core.requests import Mixture, Selection, SelectionRequest
from dataflex_core.spec import Need

Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """The samples of an interval: ``ids`` Int64[n], in the order of training where ``ordered``, and what was short."""

    ids: Ids
    ordered: bool = False
    shortages: tuple[Shortage, ...] = ()
    judged: int = 0
    scored: Judged | None = None
    notes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """A selector's answer about a group to give ``wanted`` samples, ``asked`` for as many as there are.

    ``more`` are given in the place of a group that has none.
    """

    group: int
    wanted: int
    asked: int
    selection: Selection
    more: int = 0


def mixture_of(answer: Any, needs: frozenset[Need], domains: int) -> Mixture:
    """A mixer's answer, its proportions normalised. Raises `StrategyFault`, without a name, for one that is none."""
    mixture = answer if isinstance(answer, Mixture) else Mixture(proportions=answer)
    _check_numbers(mixture.proportions, "proportions", domains)
    weights = mixture.loss_weights
    if weights is not None:
        if Need.LOSS_WEIGHTS not in needs:
            said = "answers with loss weights and does not declare Need.LOSS_WEIGHTS"
            raise StrategyFault(said, hint="add it to the needs of its StrategySpec")
        _check_numbers(weights, "loss weights", domains)
        weights = np.array(weights, dtype=np.float64)  # a copy: the mixer may go on with its own
        if weights.shape != (domains,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            said = f"loss weights {weights.tolist()} are not {domains} numbers, finite, >= 0, not all zero"
            raise StrategyFault(said, hint=ONE_EACH)
    if wrong := wrong_notes(mixture.notes):
        raise StrategyFault(wrong, hint="give notes as {name: a finite number}")
    remarks = mixture.remarks
    if not isinstance(remarks, tuple) or not all(isinstance(r, str) and len(r.splitlines()) == 1 for r in remarks):
        raise StrategyFault(f"remarks {remarks!r}, which are no lines of text", hint="give remarks as (line, line)")
    notes = {name: float(figure) for name, figure in mixture.notes.items()}
    return replace(mixture, proportions=normalised(mixture.proportions, domains), loss_weights=weights, notes=notes)


def _check_numbers(values: Any, what: str, count: int) -> None:
    """Raise `StrategyFault` for what is no array of numbers: None, text, a mapping, rows of different lengths."""
    if values is None or isinstance(values, str | bytes | Mapping):
        raise StrategyFault(f"answers with {type(values).__name__}, not with {count} {what}", hint=ONE_EACH)
    try:
        np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        said = f"answers with {type(values).__name__}, not with {count} {what}: {error}"
        raise StrategyFault(said, hint=ONE_EACH) from error


def requests_by_group(
    request: SelectionRequest, groups: Sequence[Ids], wanted: Ids, rng: Callable[[int], np.random.Generator]
) -> Iterator[tuple[int, SelectionRequest]]:
    """The request narrowed to each group that is to give samples; more than a group has is asked for as all of it."""
    for k in np.flatnonzero(wanted).tolist():
        yield k, request.narrowed(groups[k], min(int(wanted[k]), len(groups[k])), rng(k))


def chosen_by(selector: Selector[Any], part: SelectionRequest, judged: Judged | None) -> Selection:
    """The selector's answer about a part of the candidates, unchecked."""
    own = replace(part, candidates=part.candidates.copy())  # it may work on them in place
    if not isinstance(selector, ScoringSelector) or judged is None:
        return selector.select(own)
    scores, exact = judged.part(part.candidates)
    return selector.choose(replace(own, exact=exact), scores)


def what_is_wrong(selection: Any, request: SelectionRequest) -> str | None:
    """How an answer breaks the selector's contract, or None."""
    if not isinstance(selection, Selection):
        return f"answers with {type(selection).__name__}, not with a Selection"
    try:
        ids = np.asarray(selection.ids)
    except (TypeError, ValueError) as error:
        return f"answers with {type(selection.ids).__name__}, not with sample ids: {error}"
    if ids.ndim != 1 or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        return f"answers with {ids.dtype} of shape {ids.shape}, not with sample ids"
    if len(ids) > request.count:
        return f"chose {len(ids)} samples, {request.count} were asked for"
    if len(np.unique(ids)) < len(ids):
        return "chose a sample twice"
    if not np.isin(ids, request.candidates).all():
        return "chose a sample that is no candidate"
    if selection.scores is not None:
        try:
            scores = np.asarray(selection.scores, dtype=np.float32)
        except (TypeError, ValueError) as error:
            return f"gives scores that are no numbers: {error}"
        if scores.shape != ids.shape:
            return f"gives scores of shape {scores.shape} for {len(ids)} chosen samples"
    if not isinstance(selection.instead, str) or len(selection.instead.splitlines()) > 1:
        return f"says {selection.instead!r} instead of a choice, which is no line of text"
    return wrong_notes(selection.notes)


def wrong_notes(notes: Any) -> str | None:
    """How notes are no named figures, or None."""
    if not isinstance(notes, Mapping) or not all(isinstance(name, str) and name for name in notes):
        return "gives notes that have no names"
    for name, figure in notes.items():
        try:
            finite = isfinite(figure)
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite:
            return f"notes {name}={figure!r}, which is no finite number"
    return None


def handed_over(parts: Sequence[Part]) -> list[Part]:
    """The same, of which a group without a usable sample gives none: the others do, in proportion to their quotas."""
    lost = sum(part.wanted for part in parts if not len(part.selection.ids))
    more = quotas([part.wanted if len(part.selection.ids) else 0 for part in parts], lost)
    return [replace(part, more=int(count)) for part, count in zip(parts, more, strict=True)]


def joined(parts: Sequence[Part], given: Supply, scored: Judged | None, *, judged: int, policy: Exhaustion) -> Choice:
    """The groups' choices as one: a quota beyond what was chosen is filled by the choice again, from its front."""
    told = {short.domain for short in given.shortages}
    shortages, filled = list(given.shortages), []
    for part in parts:
        chosen = np.asarray(part.selection.ids, dtype=np.int64)
        if part.wanted > part.asked and part.group not in told:
            shortages.append(Shortage(domain=part.group, wanted=part.wanted, had=part.asked, action=str(policy)))
        if part.selection.instead:
            instead = part.selection.instead
            shortages.append(Shortage(domain=part.group, wanted=part.asked, had=0, action=instead))
        if len(chosen) < part.asked:
            action = REPEAT if len(chosen) else BY_OTHERS
            shortages.append(Shortage(domain=part.group, wanted=part.asked, had=len(chosen), action=action))
        if len(chosen):
            filled.append(stretched(chosen, part.wanted + part.more))
    ordered = all(part.selection.ordered for part in parts)
    return Choice(
        ids=interleaved(filled) if ordered else np.concatenate(filled),
        ordered=ordered,
        shortages=tuple(shortages),
        judged=judged,
        scored=scored if scored is not None else _own_scores(parts),
        notes=_mean_notes(parts),
    )


def _own_scores(parts: Sequence[Part]) -> Judged | None:
    """What a selector says of its scores itself: of what it chose alone."""
    given = [part.selection for part in parts if part.selection.scores is not None]
    if not given:
        return None
    ids = np.concatenate([np.asarray(made.ids, dtype=np.int64) for made in given])
    scores = np.concatenate([np.asarray(made.scores, dtype=np.float32) for made in given])
    return Judged(ids=ids, scores=scores, given=scores)


def _mean_notes(parts: Sequence[Part]) -> dict[str, float]:
    """Each figure's mean over the groups that give it, by the samples wanted of them."""
    sums: dict[str, tuple[float, int]] = {}
    for part in parts:
        for name, figure in part.selection.notes.items():
            total, weight = sums.get(name, (0.0, 0))
            sums[name] = total + part.wanted * float(figure), weight + part.wanted
    return {name: total / weight for name, (total, weight) in sums.items()}
