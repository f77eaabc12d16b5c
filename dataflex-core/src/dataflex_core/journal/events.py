"""What a journal says: one class an event. A new one is a class here, a table in docs/journal.md, and who writes it.

Counts are of samples and steps are optimizer steps, over all ranks. A domain is named as in the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar

from dataflex_core.journal.facts import RowsFact, ScoresFact, ShortageFact, StrategyFact, WeightsFact

SCHEMA = 2
"""The version of the journal. Counted up when what an event means, or a key, changes; not when something is added."""

EVENTS: dict[str, type[Event]] = {}
"""Every class of event by its name in a journal."""


class Event:
    """Base of every event: a frozen dataclass of JSON values, of tuples and mappings of them, and of such classes.

    A field that is added within a schema has a default: journals that were written before it lack the key.
    """

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    event: ClassVar[str]
    """Its name in a journal: the class's in lower case."""

    def __init_subclass__(cls) -> None:
        cls.event = cls.__name__.lower()
        EVENTS[cls.event] = cls


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Event):
    """The run begins: the first event of a journal, written once the data is loaded.

    ``run`` names the run, whatever folders and processes it is continued in; empty in a dry run. ``strategies`` are in
    the order of kinds, weighters in the order in which they weigh. ``domains`` gives the samples of each domain, in the
    order of their ids, and ``targets`` those of each target set.

    ``steps`` is how many steps the run has, ``warmup_steps`` of them before the first decision; each of the
    ``decisions`` holds for ``update_steps`` steps, the last maybe for fewer. ``global_batch`` is the samples of a step.
    ``judged`` is how many samples a decision judges, 0 without a selector, and ``decision_cost`` what that costs, in
    training steps; ``mixing_cost`` is what a mixer's questions cost at a decision, and ``step_cost`` what weighing the
    loss adds to each step, both in the same unit. ``holdout`` gives the samples that are kept out of each domain.
    ``seed`` is that of every draw: ``data_seed``, or else ``seed``.

    ``exact`` is how many of what is judged are scored where the scores of the others are predicted, None where all are;
    ``features_cost`` is what the features that they are predicted from cost once, in training steps, unless stored.
    ``exhaustion`` and ``warmup_proportions`` are what the configuration says of plans. ``dropped`` tells, by domain, of
    rows that became no sample, and ``cut`` of those that were cut at ``cutoff_len``; ``target_dropped`` and
    ``target_cut`` tell the same by target set. ``schema`` is the version of the journal from here on.

    ``break_even`` is what a chosen sample must be worth, in random ones, to pay for the decision: 1 + ``decision_cost``
    and ``mixing_cost`` by the steps that it holds for; None where deciding costs nothing. ``rows`` gives the rows that
    the samples of each domain are made of, ``target_rows`` those of each target set: empty where that is not known.

    ``mean_tokens`` are the mean target tokens of a sample of each domain where proportions are shares of target tokens,
    None where they are of samples.

    ``model`` is the model that is trained, as the configuration names it, ``config`` the whole ``dataflex:`` section,
    defaults included, and ``versions`` what is installed, by distribution. ``arguments`` are those of LLaMA-Factory's
    that are written and change what is learnt: without seeds, folders, secrets, whatever reports, saves, evaluates or
    spreads the work, and what the other fields tell.
    """

    schema: int = SCHEMA
    run: str
    strategies: tuple[StrategyFact, ...]
    domains: Mapping[str, int]
    targets: Mapping[str, int]
    steps: int
    warmup_steps: int
    update_steps: int
    decisions: int
    global_batch: int
    ranks: int
    judged: int
    decision_cost: float
    step_cost: float
    seed: int
    exhaustion: str = "next-epoch"
    warmup_proportions: str | Mapping[str, float] = "size"
    exact: int | None = None
    features_cost: float = 0.0
    dropped: Mapping[str, RowsFact] = field(default_factory=dict)
    cut: Mapping[str, RowsFact] = field(default_factory=dict)
    target_dropped: Mapping[str, RowsFact] = field(default_factory=dict)
    target_cut: Mapping[str, RowsFact] = field(default_factory=dict)
    model: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    break_even: float | None = None
    rows: Mapping[str, int] = field(default_factory=dict)
    target_rows: Mapping[str, int] = field(default_factory=dict)
    holdout: Mapping[str, int] = field(default_factory=dict)
    mixing_cost: float = 0.0
    mean_tokens: Mapping[str, float] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Event):
    """The run goes on from ``checkpoint``, a folder, that was taken after step ``step``.

    ``schema`` is the version of the journal from here on: that of the version that goes on. ``domains`` gives the
    samples of each domain from here on, where the run goes on with other data; None where they are as before.
    ``strategies`` are those from here on, where they or parameters of theirs are others; None likewise. ``changed``
    tells what else than data is otherwise than it was: strategies, parameters, schedule and what plans hang on, a line
    each.
    """

    schema: int = SCHEMA
    step: int
    checkpoint: str
    domains: Mapping[str, int] | None = None
    strategies: tuple[StrategyFact, ...] | None = None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something that the user should know: ``text``, one line, said once."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback(Notice):
    """Something could not be done as it is best done, after step ``step``, and is done otherwise from there on.

    ``kind`` is ``gradients-one-by-one``, ``batches-halved``, ``plain-gradients`` (of an optimizer without Adam's
    moments), ``rule-left-out`` (a plugin's gradient rule that does not load) or ``whole-logits`` (of a model that does
    to them what is not known); ``text`` says why.
    """

    step: int
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Event):
    """An interval begins, and what it trains on is decided.

    ``decision`` is its number; 0 is the warm-up. The interval has the steps ``step + 1`` to ``until``. ``chosen`` gives
    the samples of each domain in its plan, ``proportions`` the shares that were asked for, of sum one, of samples or of
    target tokens as the `Start` says: None where the pool is read as one. ``judged`` counts the samples that the
    selector judged, ``shortages`` is what was missing.

    ``plan`` is the start, 16 hexadecimal digits, of the SHA-256 of the plan's sample ids: Int64, little-endian, in the
    order of training. ``seconds`` is how long deciding took on rank 0, ``epoch`` and ``learning_rate`` are where
    training stood. ``loss_weights`` are what a mixer wants the loss of each domain to count, None where it wants
    nothing. ``notes`` are the figures that strategies gave with their answers, by the strategy's slot. ``dropped``
    gives the samples that an exhausted domain was owed from earlier intervals, and is owed no longer.

    Of the ``seconds``, ``signal_seconds`` went into facts about the model, the rest into all else: sorting, drawing,
    waiting for other ranks. ``cost`` is what deciding costs in training steps, by what is declared: judging,
    a mixer's questions, features that were made.
    ``overlap`` is the Jaccard index with the samples of the interval before, as sets; None of the first. ``scores`` are
    those of the judged samples in short, None where the selector gives none. ``exact`` counts the judged samples whose
    scores are the selector's own, None where all are; ``correlation`` is the rank correlation of the last of these with
    what had been predicted of them, None where nothing was. ``explained`` counts the samples of which it was worked out
    which target sample they help most; ``cost`` and ``seconds`` have that in them. ``break_even`` is what a chosen
    sample must be worth, in random ones, to pay for this decision: 1 + ``cost`` by the interval's steps; None where it
    cost nothing.
    """

    decision: int
    step: int
    until: int
    chosen: Mapping[str, int]
    proportions: Mapping[str, float] | None
    judged: int
    shortages: tuple[ShortageFact, ...]
    plan: str
    seconds: float
    epoch: float = 0.0
    learning_rate: float = 0.0
    loss_weights: Mapping[str, float] | None = None
    notes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    dropped: Mapping[str, float] = field(default_factory=dict)
    signal_seconds: float = 0.0
    cost: float = 0.0
    overlap: float | None = None
    scores: ScoresFact | None = None
    exact: int | None = None
    correlation: float | None = None
    explained: int = 0
    break_even: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged(Event):
    """What the run logged at step ``step``: ``training`` is LLaMA-Factory's own, its loss, learning rate and so on.

    ``means`` are those of what strategies noted since the log before, by their names in the log. In between were
    ``seconds``, of which ``deciding`` went into decisions and ``paused`` into evaluations and checkpoints, of this
    process alone where the run was resumed. ``weights`` are those of samples since the log before, None where nothing
    weighed them. Numbers that are not finite are left out.
    """

    step: int
    means: Mapping[str, float]
    training: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    deciding: float = 0.0
    weights: WeightsFact | None = None
    paused: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained(Event):
    """What the steps ``after + 1`` to ``step`` trained on, by domain: a logging interval, or less where the run ended.

    Of a weighter alone, which is given the data in one piece, by data set, if that is known of all samples.
    ``samples`` and ``tokens``, target tokens, count what was trained on. ``losses`` are sums of the tokens' raw losses,
    as they were before any weight, None where one was not finite; all of it is None where no token losses were
    computed. ``weights`` are sums of what each of the target tokens counted: the product of all weighters' weights and
    the mixer's. None where each counted 1, or where it is not known. Sums of several events add up.
    """

    after: int
    step: int
    samples: Mapping[str, int]
    tokens: Mapping[str, int]
    losses: Mapping[str, float | None] | None = None
    weights: Mapping[str, float | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated(Event):
    """The model was evaluated after step ``step``: ``figures`` by their names in the log, those that are finite."""

    step: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Event):
    """Step ``step``, the first is 1, is done: it trained on ``samples``, ids over all ranks, rank by rank.

    An id counts from 0 through all domains in their order.
    """

    step: int
    samples: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class End(Event):
    """The last step, ``step``, is done: of a run that was not cut short the last event, but for evaluations."""

    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """The run failed, or was stopped, after step ``step``: the last event of one that could still say so.

    ``error`` is what the user was told, one line, ``hint`` what to do about it, if anything is known. ``kind`` is the
    name of the error's class, ``exit_code`` what the process ends with.
    """

    step: int
    error: str
    hint: str | None = None
    kind: str = ""
    exit_code: int = 1
