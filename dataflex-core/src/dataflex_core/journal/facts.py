"""What events are made of: values of several fields that stand in one field of an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFact:
    """A strategy of the run.

    ``kind`` is ``selector``, ``mixer`` or ``weighter``, ``position`` that among several of the kind, from 0, ``name``
    the strategy's, ``distribution`` and ``version`` those of what offers it: of a file its name, and the first digits
    of a digest of its text. ``params`` are its parameters, all of them, as `dataflex_core.config.plain` writes them.
    """

    kind: str
    name: str
    distribution: str
    version: str
    params: Mapping[str, Any] = field(default_factory=dict)
    position: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortageFact:
    """A domain, or the pool, had fewer samples than an interval wanted of it.

    ``domain`` is its name, None where the pool is read as one; ``wanted`` and ``had`` count samples; ``action`` says in
    words what was done about it.
    """

    domain: str | None
    wanted: int
    had: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsFact:
    """``count`` rows of a domain of which LLaMA-Factory made no sample, or only a part of one.

    The first is row ``row``, counted from 1, of ``file``, of the data set ``dataset``, and ``reason`` says, in words,
    what was wrong with it.
    """

    count: int
    dataset: str
    file: str
    row: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoresFact:
    """The scores of a decision, in short: ``count`` samples have one that is finite, ``lost`` more do not.

    ``mean`` and ``spread``, a standard deviation, are of the finite ones, ``length_correlation`` is Spearman's with the
    samples' numbers of tokens; None where there is nothing to tell. Of scores of several columns, each sample's mean.
    """

    count: int
    lost: int
    mean: float | None
    spread: float | None
    length_correlation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFact:
    """The weights that ``count`` samples were given in a number of steps: the mean over each one's target tokens.

    ``lost`` more are not finite. ``mean`` and ``spread``, a standard deviation, are of the others; ``effective_share``
    is how many of the samples that were weighed together really count (Kish, 1965), as a share, the mean over steps: 1
    where all weigh the same.
    """

    count: int
    lost: int
    mean: float | None
    spread: float | None
    effective_share: float | None
