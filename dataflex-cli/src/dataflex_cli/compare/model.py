"""The numbers of a comparison. `build` makes them; they are printed, drawn, and written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataflex_cli.pages.figures import Curve

SCHEMA = 1
"""The version of the JSON. Counted up when what a key means changes, or one goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The mean of a figure over ``count`` runs, those of one seed counted as one.

    ``spread`` is the standard deviation over seeds, None of one.
    """

    mean: float
    spread: float | None
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A run. ``group`` is the place of its group among the groups, ``state`` as in a report.

    ``work`` is what all its steps and decisions took, in training steps of the first run's batch. ``deciding`` is the
    share of time that decisions took, None where nobody timed them. ``unique`` counts the samples it trained on, each
    once. Of each metric, which is a loss of an evaluation: ``at_step`` and ``at_work`` are its value where all runs are
    compared, ``last`` is the last one that the run has. ``shares`` are those of domains in what it trained on after its
    warm-up.
    """

    name: str
    folder: str
    run: str
    group: int
    strategies: tuple[str, ...]
    state: str
    step: int
    steps: int
    seed: int
    samples: int
    unique: int
    work: float
    deciding: float | None
    shares: Mapping[str, float]
    at_step: Mapping[str, float] = field(default_factory=dict)
    at_work: Mapping[str, float] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    over_steps: Mapping[str, Curve] = field(default_factory=dict)
    over_work: Mapping[str, Curve] = field(default_factory=dict)
    losses: Curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that differ in nothing but their seed: ``members`` are their names. Means over those that have a figure.

    ``last`` is of those alone that have finished.
    """

    name: str
    members: tuple[str, ...]
    shares: Mapping[str, Figure]
    at_step: Mapping[str, Figure]
    at_work: Mapping[str, Figure]
    last: Mapping[str, Figure]
    over_steps: Mapping[str, Curve]
    over_work: Mapping[str, Curve]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A loss of evaluations, and where it is compared: the last ``step`` and the most ``work`` that all runs reached.

    Each is None where they have none in common. ``runs`` are those that have the metric.
    """

    name: str
    step: float | None
    work: float | None
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """How much of what runs chose is the same: Jaccard indices of each with each, in the order of the runs.

    What counts are samples trained on after the warm-up up to ``step``, as far as all runs went. ``chance`` is what two
    draws of as many samples from the same pool would share. ``why_not`` says why it cannot be told; then all is empty.
    """

    step: int = 0
    matrix: tuple[tuple[float | None, ...], ...] = ()
    chance: tuple[tuple[float | None, ...], ...] = ()
    why_not: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of it. ``batch`` is how many samples a step of work counts, that of the first run."""

    schema: int = SCHEMA
    batch: int
    runs: tuple[Member, ...]
    groups: tuple[Group, ...]
    metrics: tuple[Metric, ...]
    pool_shares: Mapping[str, float]
    """Of the domains, where all pools are the same; empty otherwise."""
    overlap: Overlap
    remarks: tuple[str, ...] = ()
    """What makes the runs differ in more than what decided, or cannot be compared."""
    words: tuple[str, ...] = ()
