"""The numbers of a report. `build` makes them, the page shows them, and they are written as JSON beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dataflex_cli.pages.figures import Curve
from dataflex_cli.report.single import Leaks, Sample, Target, Twins, WeighedSample

SCHEMA = 1
"""The version of the JSON. Counted up when what a key means changes, or one goes."""

ByName = Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A run went on otherwise after step ``step``: ``told`` says how, a line each.

    ``strategies`` are those from there on, None where they and their parameters are as before.
    """

    step: int
    strategies: tuple[str, ...] | None
    told: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What ran. ``state`` is ``finished``, ``failed`` or ``unfinished``: going on, or killed.

    ``strategies`` are those that it began with, ``kinds`` the kinds of all that it ever had.
    """

    name: str
    run: str
    state: str
    step: int
    steps: int
    error: str | None
    hint: str | None
    strategies: tuple[str, ...]
    kinds: tuple[str, ...]
    model: str
    domains: Mapping[str, int]
    targets: Mapping[str, int]
    warmup_steps: int
    update_steps: int
    decisions: int
    global_batch: int
    ranks: int
    seed: int
    resumes: tuple[int, ...]
    samples: int
    unique: int
    exact_floor: float | None = None
    """The rank correlation below which predicted scores are not used; None where none are predicted."""
    unit: str = "samples"
    """What proportions are shares of: ``samples``, or target ``tokens``."""
    since: int | None = None
    """The step after which it went on with other data: ``samples``, ``domains`` and what was decided are since then."""
    changes: tuple[Change, ...] = ()
    rows: Mapping[str, int] = field(default_factory=dict)
    """Of how many rows the samples of each domain are made; empty where nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A decision as it was taken: ``chosen`` is its plan, of which its interval trained on ``trained`` samples so far.

    ``shares`` are those of domains in these; ``wanted`` those asked for, of domains with quotas.

    ``exact`` of what was ``judged`` was scored where the rest was predicted, with the rank correlation ``correlation``;
    both None where nothing is predicted.
    """

    decision: int
    step: int
    until: int
    judged: int
    chosen: Mapping[str, int]
    trained: int
    shares: ByName
    wanted: ByName | None
    seconds: float
    signal_seconds: float
    new: int
    seen: int
    notes: Mapping[str, ByName]
    shortages: tuple[str, ...]
    learning_rate: float
    exact: int | None = None
    correlation: float | None = None
    instead: tuple[str, ...] = ()
    """What it trained on where its selector had nothing to choose by, in the selector's words."""

    @property
    def predicted(self) -> bool:
        """Whether it chose by predictions; not where these were too poor, and all was scored."""
        return self.exact is not None and self.exact < self.judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What deciding cost. ``declared`` and ``measured`` are in training steps, the latter None where nobody timed it.

    ``break_even`` is how many random samples a chosen one must be worth, by what was measured, or else declared, over
    the ``chosen_steps`` that decisions hold for. ``training_seconds`` is what all steps took, those that nobody timed
    as long as the others. ``work`` is what steps and decisions came to, in training steps.
    """

    declared: float
    measured: float | None
    chosen_steps: int
    deciding_seconds: float
    signal_seconds: float
    training_seconds: float | None
    break_even: float | None
    work: float

    @property
    def steps(self) -> float:
        """In training steps, by the better of both."""
        return self.declared if self.measured is None else self.measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """A domain, or a band of scores: its shares of what was to be had and of what was chosen, and their ratio."""

    name: str
    pool: float
    chosen: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The scores of a decision: counts between ``edges`` of all that was judged, and of what was chosen of it.

    It was taken after ``step``, which tells decisions of one number apart.
    ``of_all`` is False where there are none but of what was chosen. ``by_number`` is whether that are the samples of
    the lowest numbers, which is how selectors choose among equal scores, unless they draw.
    """

    decision: int
    step: int
    edges: tuple[float, ...]
    judged: tuple[int, ...]
    chosen: tuple[int, ...]
    count: int
    lost: int
    mean: float | None
    spread: float | None
    length_correlation: float | None
    lengths: tuple[tuple[int, float, bool], ...] = ()
    of_all: bool = True
    by_number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens of samples: counts between ``edges`` of the pool and of what was chosen, as shares of each."""

    edges: tuple[float, ...]
    pool: tuple[float, ...]
    chosen: tuple[float, ...]
    pool_mean: float
    chosen_mean: float
    cutoff_len: int
    pool_cut: float
    chosen_cut: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Another run at equal measured compute: ``at`` training steps' worth of work, and the metric of both there.

    ``curve`` and ``own`` are the metric over compute, in training steps of this run; a step of that one has ``batch``
    samples. Metric and work are the same for all runs that are compared; ``why_not`` says why this one is not, and
    ``pool`` how its pool is another one, which keeps nobody from comparing losses of evaluations.
    """

    name: str
    strategies: tuple[str, ...]
    metric: str
    batch: int
    seed: int
    curve: Curve
    own: Curve
    at: float | None
    theirs: float | None
    ours: float | None
    why_not: str | None = None
    pool: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether it paid: ``difference`` of the metric to the mean of all runs compared with, less is better.

    Runs of one seed count as one. ``spread`` is the standard deviation over seeds, None of fewer than two.
    """

    paid: bool | None
    metric: str | None
    difference: float | None
    spread: float | None
    runs: int
    at: float | None = None
    """The work, in training steps, at which all of them were compared: the most that all have done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something to look at: ``level`` is ``problem`` or ``hint``; ``todo`` says what to do about it."""

    id: str
    level: str
    title: str
    detail: str
    todo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """All numbers of the page."""

    schema: int = SCHEMA
    run: RunFacts
    words: tuple[str, ...] = ()
    alerts: tuple[Alert, ...] = ()
    losses: Curve
    evaluations: tuple[Curve, ...]
    domain_losses: tuple[Curve, ...]
    decisions: tuple[Taken, ...]
    pool_shares: ByName
    token_shares: ByName
    trained: Mapping[str, int]
    """Samples of each domain that were trained on, those of the warm-up, too."""
    enrichment: tuple[Enrichment, ...]
    bands: tuple[Enrichment, ...]
    cost: Cost
    scores: tuple[Scores, ...]
    overlap: tuple[tuple[int, ...], tuple[tuple[float, ...], ...]]
    """Decisions, and the Jaccard index of each with each."""
    repeats: tuple[tuple[int, int], ...]
    """How often trained on, from 1, and how many samples so."""
    lengths: Lengths | None
    weights: tuple[Curve, ...]
    samples: tuple[Sample, ...]
    leaks: Leaks
    fitted_losses: tuple[Curve, ...] = ()
    """Of the domains whose losses a mixer fitted a curve to, what it fitted last."""
    domain_weights: tuple[Curve, ...] = ()
    """What a target token of each domain counted in the loss, where the mean of all is 1; of runs that weigh."""
    weights_over_run: ByName = field(default_factory=dict)
    """The same, of all that was weighed."""
    targets: tuple[Target, ...] = ()
    """Target samples that one of ``samples`` helps most."""
    weighed: tuple[WeighedSample, ...] = ()
    twins: tuple[Twins, ...] = ()
    """Chosen samples whose texts are nearly the same, a pair each, of those that are shown."""
    verdict: Verdict
    against: tuple[Against, ...]
    proportions: str
    """YAML to paste."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
