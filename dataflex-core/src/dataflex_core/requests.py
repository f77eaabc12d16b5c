"""What strategies are given and what they answer with: values, and nothing that computes.

Arrays are numpy, which is not imported here, so declaring and describing a strategy stays light. What weighters are
given are tensors, and lies in `dataflex_core.weighing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataflex_core.columned import HasColumns
from dataflex_core.domains import Domain, count_by_domain, sum_by_domain
from dataflex_core.errors import UnmetNeed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core.columned import Columns
    from dataflex_core.signals import Signals

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Shares = NDArray[np.float64]

Notes = Mapping[str, float]
"""Named figures of a decision: journalled, and logged as ``dataflex/<kind>/<name>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where the run stands when a strategy is asked.

    ``step`` optimizer steps are done of ``total_steps``; this is decision ``decision`` (from 1; 0 during warm-up) of
    ``decisions``. ``epoch`` counts passes over the pool, ``learning_rate`` is the current one, ``seed`` the run's.
    """

    step: int
    total_steps: int
    decision: int
    decisions: int
    epoch: float
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupContext(HasColumns):
    """What a strategy is told once, on every rank: the data is loaded, the model is not yet.

    ``targets`` names the subtasks of the target set, the evaluation data sets, in order; ``target_sizes`` has their
    samples. ``warmup_steps`` come before the first decision, ``update_steps`` between decisions, ``total_steps`` in
    all, of which the last interval may be shorter; ``global_batch`` samples are trained on at each, over all ranks and
    the accumulation window. ``judged`` is how many candidates a selector is given at a decision (0 without one),
    ``mixed`` whether a mixer sets quotas by domain.
    """

    domains: tuple[Domain, ...]
    targets: tuple[str, ...]
    total_steps: int
    seed: int
    target_sizes: tuple[int, ...] = ()
    warmup_steps: int = 0
    update_steps: int = 1
    decisions: int = 1
    global_batch: int = 1
    judged: int = 0
    mixed: bool = False
    columns: Columns = field(default_factory=dict, repr=False)
    earlier: Callable[[str], Mapping[str, float]] | None = field(default=None, repr=False)

    def proportions_of(self, folder: str) -> Mapping[str, float]:
        """The mean proportions, by domain's name, that the mixer of the earlier run in an output folder came to.

        Raises `DataError` where no mixer's are there, `UnmetNeed` where nobody looks for runs: in the conformance kit.
        """
        if self.earlier is None:
            raise UnmetNeed(f"nobody looks for a run in {folder} here", hint="ask for it in a run")
        return self.earlier(folder)

    @property
    def pool(self) -> int:
        """Samples in all domains."""
        return sum(domain.size for domain in self.domains)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionRequest(HasColumns):
    """Choose ``count`` of ``candidates``.

    ``candidates``: Int64[N] sample ids, distinct, ascending. ``count`` is at least 1 and at most N. ``exact`` Bool[N]
    is which of the scores that `ScoringSelector.choose` is given are its own, the others being predicted; None where
    all are. What is chosen is
    trained on in ``steps`` optimizer steps of ``global_batch`` samples; where a mixer sets quotas, ``count`` is a
    domain's part of them. ``rng`` is the same on every rank, derived from the seed, the strategy, the step and the
    domain asked about.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    candidates: Ids
    count: int
    rng: np.random.Generator
    signals: Signals
    steps: int = 1
    global_batch: int = 1
    columns: Columns = field(default_factory=dict, repr=False)
    exact: NDArray[np.bool_] | None = None

    def narrowed(self, candidates: Ids, count: int, rng: np.random.Generator) -> SelectionRequest:
        """The same request for fewer candidates."""
        return replace(self, candidates=candidates, count=count, rng=rng)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Chosen samples: ``ids`` Int64[n], distinct, of the candidates. Fewer than asked for is a journalled shortage.

    ``ordered=True`` trains them in this order, interleaved by quota where a mixer sets quotas; otherwise the order of
    training is a seeded shuffle. ``scores`` Float32[n], one for each of ``ids``, say why, where the selector is no
    `ScoringSelector`. ``notes`` are figures to journal and log. ``instead`` is for where there was nothing to choose
    by: it says in a few words what ``ids`` are instead of a choice, such as ``drawn at random: all scores are alike``,
    and makes it a journalled shortage of all that was asked for.
    """

    ids: Ids
    ordered: bool = False
    scores: Scores | None = None
    notes: Notes = field(default_factory=dict)
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixRequest(HasColumns):
    """Give the proportions of the next interval, of ``steps`` optimizer steps of ``global_batch`` samples.

    They are shares of samples, or of target tokens, as ``dataflex.unit`` says: a mixer need not know, for all that it
    is given are of the same. ``previous`` Float64[K] is what the last interval used, ``mean`` Float64[K] the mean over
    all optimizer steps so far, warm-up included; before the first step both are the warm-up's.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    previous: Shares
    mean: Shares
    rng: np.random.Generator
    signals: Signals
    steps: int = 1
    global_batch: int = 1
    columns: Columns = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Proportions with more: ``proportions`` Float64[K], finite and >= 0; core normalises them.

    ``loss_weights`` Float64[K], finite and >= 0, multiply the loss of each domain's samples in the next interval: as
    they are, but beside a weighter that compares samples, whose product with them core normalises to a mean of one. A
    mixer that samples uniformly and weighs by its proportions p gives ``p * K``. It declares ``Need.LOSS_WEIGHTS``.
    ``notes`` are figures to journal and log. ``remarks`` are lines that the user should know, such as where a domain
    gave nothing to decide by: shown and journalled, so each is to be made once.
    """

    proportions: Shares
    loss_weights: Shares | None = None
    notes: Notes = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """One optimizer step as it was trained: the whole global batch, over all ranks and the accumulation window.

    ``ids`` Int64[B] are in the order of training. ``losses`` Float32[B] are the samples' raw mean losses, before any
    weight, over their ``tokens`` Int64[B] target tokens; NaN where there are none. ``proportions`` Float64[K] are
    those in force. ``excess`` Float32[B] sums max(loss − reference loss, 0) over each sample's target tokens, and
    ``reference_losses`` Float32[B] are the reference model's mean losses over them, where the strategy declares
    ``Need.REFERENCE_LOSSES``; both are None elsewhere.
    """

    progress: Progress
    domains: tuple[Domain, ...]
    ids: Ids
    losses: Scores
    tokens: Ids
    proportions: Shares
    excess: Scores | None = None
    reference_losses: Scores | None = None

    @property
    def loss_by_domain(self) -> Shares:
        """Sums of raw token losses, Float64[K]; 0 for a domain that the step did not draw."""
        return sum_by_domain(self.domains, self.ids, self.losses.astype("f8") * self.tokens)

    @property
    def tokens_by_domain(self) -> Ids:
        """Target tokens, Int64[K]."""
        return sum_by_domain(self.domains, self.ids, self.tokens).astype("i8")

    @property
    def samples_by_domain(self) -> Ids:
        """Samples, Int64[K]."""
        return count_by_domain(self.domains, self.ids)

    @property
    def excess_by_domain(self) -> Shares | None:
        """Sums of `excess`, Float64[K], or None."""
        return None if self.excess is None else sum_by_domain(self.domains, self.ids, self.excess)

    @property
    def reference_loss_by_domain(self) -> Shares | None:
        """Sums of the reference model's token losses, Float64[K], or None."""
        if self.reference_losses is None:
            return None
        return sum_by_domain(self.domains, self.ids, self.reference_losses.astype("f8") * self.tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """Say whether parameters fit a run, before anything of it is loaded.

    ``domains`` are their names, in order; None where nobody knows them before the data is loaded. ``columns`` are those
    that the run carries, as ``dataflex.columns`` names them.
    """

    domains: tuple[str, ...] | None = None
    columns: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRequest:
    """Say what judging costs at a ``decision``, from 1, of a model of so many transformer ``layers``.

    ``layers`` is None where nobody knows before the model loads. The run has so many ``domains``.
    """

    decision: int = 1
    layers: int | None = None
    domains: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What judging costs, in plain training steps of one sample: of a ``candidate``, and of a sample of the target set.

    ``target`` is None where that is the same. It counts only where the strategy needs a target set. A mixer's
    candidates are the held-out samples, which count only where it needs them; ``decision`` is what its decision costs
    beside all that.
    """

    candidate: float
    target: float | None = None
    decision: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NoParams:
    """The parameters of a strategy that takes none."""
