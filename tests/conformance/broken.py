"""Strategies that break their contract, each in one way that a check of the kit must see."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from dataflex_core import (
    Cost,
    Kind,
    Mixer,
    Mixture,
    Need,
    ReferenceModel,
    ScoringSelector,
    Selection,
    Selector,
    StrategySpec,
    Weighter,
    Weights,
    top,
)

BROKEN: list[tuple[str, StrategySpec, str]] = []
"""The check, the strategy that it must catch, and what its reason must say."""


def breaks(check, said, /, *, params=None, **declared):
    """Register a class as one that ``check`` must catch."""

    def register(broken):
        kind = next(k for k in Kind if any(k.value in base.__name__.lower() for base in broken.__mro__))
        name = "".join(f"-{c.lower()}" if c.isupper() else c for c in broken.__name__).strip("-")
        spec = StrategySpec(
            kind=kind,
            name=name,
            target=f"{__name__}:{broken.__name__}",
            params=params and (params if ":" in params else f"{__name__}:{params}"),
            summary=f"breaks {check}",
            **declared,
        )
        BROKEN.append((check, spec, said))
        return broken

    return register


def first(request):
    """A selection that nothing is wrong with."""
    return Selection(ids=request.candidates[: request.count])


# The declaration


@breaks("declares_lightly", "declaring imports pydantic", params="conformance.heavy:Params")
class HeavySelector(Selector):
    def select(self, request):
        return first(request)


@breaks("builds", "LacksSelector lacks score()")
class LacksSelector(ScoringSelector):
    pass


@breaks("builds", "is no Selector")
class ForeignKindSelector:
    pass


@breaks("builds", "its parameters name 0 reference models", needs={Need.REFERENCE_LOSSES})
class NamelessWeighter(Weighter):
    def weigh(self, request, losses):
        return losses.per_sample


@breaks("builds", "is no dataclass", params="NoDataclass")
class BareParamsSelector(Selector):
    def select(self, request):
        return first(request)


class NoDataclass:
    colour = "red"


def no_number(params, request):
    return Cost(candidate=1.0, target=float("nan"))


@breaks("builds", "asked what it costs: it gives nan for target, at ", cost_of=f"{__name__}:no_number")
class NoNumberSelector(Selector):
    def select(self, request):
        return first(request)


def fails_to_check(params, request):
    return request.columns["missing"]


@breaks("builds", "asked whether its parameters fit: TypeError", check=f"{__name__}:fails_to_check")
class FailsToCheckSelector(Selector):
    def select(self, request):
        return first(request)


@breaks("is_documented", "has no docstring")
class UndocumentedSelector(Selector):
    def select(self, request):
        return first(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilentParams:
    told: Annotated[int, Doc("what it is")] = 1
    untold: Annotated[int, Gt(0)] = 1


@breaks("is_documented", "nothing says what untold means", params="SilentParams")
class SilentParamsMixer(Mixer):
    """Documented, but for its parameters."""

    def mix(self, request):
        return request.previous


@dataclass(frozen=True, slots=True, kw_only=True)
class UntypedParams:
    anything: Annotated[Any, Doc("goes")] = None


@breaks("parameters_are_validated", "anything takes NaN", params="UntypedParams")
class UntypedMixer(Mixer):
    def mix(self, request):
        return request.previous


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongDefaultParams:
    boost: Annotated[float, Gt(0), Doc("more than nothing")] = 0.0


@breaks("parameters_are_validated", "the default of boost is refused", params="WrongDefaultParams")
class WrongDefaultMixer(Mixer):
    def mix(self, request):
        return request.previous


@dataclass(frozen=True, slots=True, kw_only=True)
class OneWayParams:
    shares: Annotated[dict[tuple[str, str], float], Doc("of pairs")] = field(default_factory=lambda: {("a", "b"): 1.0})


@breaks("parameters_are_validated", "what a journal holds of the parameters is refused", params="OneWayParams")
class OneWayMixer(Mixer):
    def mix(self, request):
        return request.previous


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class AmbiguousParams:
    colour: Annotated[str | Colour, Doc("of the roses")] = Colour.RED


@breaks("parameters_are_validated", "comes back from a journal as 'red'", params="AmbiguousParams")
class AmbiguousMixer(Mixer):
    def mix(self, request):
        return request.previous


@breaks("needs_are_declared", "add Need.LOSSES to its needs")
class UndeclaredSelector(ScoringSelector):
    def score(self, request, shard):
        return request.signals.losses(shard)


@breaks("needs_are_declared", "add Need.GRADIENTS to its needs", needs={Need.MOMENTS})
class UndeclaredProductsSelector(Selector):
    def select(self, request):
        products = request.signals.products(request.candidates, request.candidates)
        return Selection(ids=top(request.candidates, -products.sum(axis=1), request.count))


@breaks("needs_are_declared", "add Need.TARGET_SET to its needs", needs={Need.GRADIENTS})
class UndeclaredAlignmentSelector(ScoringSelector):
    def score(self, request, shard):
        return request.signals.alignments(shard, adam=False)

    def choose(self, request, scores):
        return first(request)


@breaks("needs_are_declared", "add Need.TARGET_SET", needs={Need.EMBEDDINGS})
class UndeclaredTargetSelector(ScoringSelector):
    def score(self, request, shard):
        held = request.signals.target(request.signals.targets[0])
        every = np.arange(len(held))
        mine = held.shard(every)
        centre = held.gather(every, mine, held.embeddings(mine)).mean(axis=0)
        return request.signals.embeddings(shard) @ centre


@breaks("needs_are_declared", "add Need.HOLDOUT to its needs", needs={Need.LOSSES})
class UndeclaredHoldoutMixer(Mixer):
    def mix(self, request):
        held = request.signals.holdout(request.domains[0].name)
        held.losses(np.arange(len(held)))
        return np.ones(len(request.domains))


@breaks("needs_are_declared", "add Need.LOSSES to its needs")
class UndeclaredWeighter(Weighter):
    def prepare(self, request):
        request.signals.losses(request.signals.shard(request.ids))

    def weigh(self, request, losses):
        return losses.values.new_ones(len(losses.values))


@breaks("needs_are_declared", "add Need.LOSS_WEIGHTS to its needs")
class UndeclaredWeightsMixer(Mixer):
    def mix(self, request):
        return Mixture(proportions=request.previous, loss_weights=np.ones(len(request.domains)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParams:
    embeds: Annotated[bool, Doc("whether embeddings decide")] = True


def forgotten_needs(params):
    """Those of the other value."""
    return {Need.LOSSES} if params.embeds else {Need.EMBEDDINGS}


@breaks(
    "needs_are_declared",
    "add Need.EMBEDDINGS to its needs",
    params="LayerParams",
    needs_for="conformance.broken:forgotten_needs",
)
class OtherNeedsSelector(ScoringSelector):
    def score(self, request, shard):
        signals = request.signals
        return signals.embeddings(shard)[:, 0] if self.params.embeds else signals.losses(shard)


# Answers


@breaks("selections_fit", "no candidate")
class ForeignSelector(Selector):
    def select(self, request):
        return Selection(ids=np.arange(10_000, 10_000 + request.count))


@breaks("selections_fit", "chose a sample twice")
class TwiceSelector(Selector):
    def select(self, request):
        return Selection(ids=np.repeat(request.candidates[:1], 2))


@breaks("selections_fit", "were asked for")
class GreedySelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates)


@breaks("selections_fit", "not with sample ids")
class FloatSelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[:2] / 2)


@breaks("selections_fit", "found no usable sample")
class NothingSelector(ScoringSelector):
    def score(self, request, shard):
        return np.full(len(shard), np.nan, dtype=np.float32)


@breaks("selections_fit", "scores for")
class ShortSelector(ScoringSelector):
    def score(self, request, shard):
        return np.zeros(len(shard) - 1, dtype=np.float32)


@breaks("selections_fit", "notes mean=nan, which is no finite number")
class NanNotesSelector(Selector):
    def select(self, request):
        return Selection(ids=request.candidates[: request.count], notes={"mean": float("nan")})


@breaks("selections_fit", "gives scores of shape (24,) for ")
class AllScoresSelector(Selector):
    """Tells the scores of all candidates, not of what it chose."""

    def select(self, request):
        scores = request.candidates.astype(np.float32)
        return Selection(ids=request.candidates[:1], scores=np.resize(scores, 24))


@breaks("selections_fit", "scores 2 columns and does not say how to choose by them")
class ColumnsSelector(ScoringSelector):
    def score(self, request, shard):
        return np.zeros((len(shard), 2), dtype=np.float32)


@breaks("proportions_fit", "gives notes that have no names")
class NamelessNotesMixer(Mixer):
    def mix(self, request):
        return Mixture(proportions=request.previous, notes={0: 1.0})


@breaks("proportions_fit", "are not 3 numbers, finite, >= 0", needs={Need.LOSS_WEIGHTS})
class OneWeightMixer(Mixer):
    def mix(self, request):
        return Mixture(proportions=request.previous, loss_weights=np.ones(1))


@breaks("weights_fit", "notes spread=tensor([")
class TensorNotesWeighter(Weighter):
    def weigh(self, request, losses):
        return Weights(values=losses.values.new_ones(len(losses.values)), notes={"spread": losses.per_sample})


@breaks("proportions_fit", "not finite")
class NanMixer(Mixer):
    def mix(self, request):
        return np.full(len(request.domains), np.nan)


@breaks("proportions_fit", "the run has 3 domains")
class WideMixer(Mixer):
    def mix(self, request):
        return np.ones(len(request.domains) + 1)


@breaks("weights_fit", "not finite and >= 0")
class NegativeWeighter(Weighter):
    def weigh(self, request, losses):
        return -losses.values.new_ones(len(losses.values))


@breaks("weights_fit", "not with 6 or")
class WideWeighter(Weighter):
    def weigh(self, request, losses):
        return losses.values.new_ones(len(losses.values) + 1)


@breaks("weights_fit", "zero for every target token")
class ZeroWeighter(Weighter):
    def weigh(self, request, losses):
        return losses.values.new_zeros(len(losses.values))


@breaks("weights_are_detached", "weights require a gradient")
class AttachedWeighter(Weighter):
    def weigh(self, request, losses):
        return losses.values.new_ones(len(losses.values)).requires_grad_()


@breaks("same_seed_same_answer", "the same seed twice")
class EntropySelector(Selector):
    def select(self, request):
        return Selection(ids=np.random.default_rng().choice(request.candidates, request.count, replace=False))


@breaks("same_seed_same_answer", "the same seed twice")
class EntropyMixer(Mixer):
    def mix(self, request):
        return np.random.default_rng().dirichlet(np.ones(len(request.domains)))


@breaks("same_seed_same_answer", "the same seed twice")
class EntropyWeighter(Weighter):
    def weigh(self, request, losses):
        import torch

        return torch.from_numpy(np.random.default_rng().random(len(losses.values)))


@breaks("another_seed_another_answer", "answers seeds 7 to 57 alike")
class IdleDrawSelector(Selector):
    def select(self, request):
        request.rng.random(request.count)
        return first(request)


@breaks("ranks_agree", "ranks 0 and 1 of 2")
class OwnDrawSelector(ScoringSelector):
    """Puts the scores of its own shard in the place of everybody's."""

    def score(self, request, shard):
        self.mine = shard
        return np.zeros(len(shard), dtype=np.float32)

    def choose(self, request, scores):
        return Selection(ids=np.intersect1d(request.candidates, self.mine)[: request.count])


@breaks("ranks_agree", "1 rank and 2", needs={Need.LOSSES})
class ShardMeanSelector(ScoringSelector):
    """Compares with the mean of its shard, not of all samples."""

    def score(self, request, shard):
        losses = request.signals.losses(shard)
        return losses - (losses.mean() if len(losses) else 0)


@breaks("ranks_agree", "state.seen")
class OwnStateSelector(ScoringSelector):
    """Keeps what only its own rank saw."""

    def score(self, request, shard):
        self.seen = shard
        return -shard.astype(np.float32)

    def state_dict(self):
        return {"seen": self.seen}


@breaks("ranks_agree", "['of 44']")
class OwnNotesSelector(ScoringSelector):
    """Notes what is of its own shard."""

    def score(self, request, shard):
        self.mine = len(shard)
        return shard.astype(np.float32)

    def choose(self, request, scores):
        chosen = top(request.candidates, scores, request.count)
        return Selection(ids=chosen, notes={f"of {self.mine}": 1.0})


@breaks("ranks_agree", "state.seen")
class OwnFactsSelector(ScoringSelector):
    """Counts of each step what is of its own shard."""

    def setup(self, context):
        self.mine, self.seen = [], 0

    def score(self, request, shard):
        self.mine = shard
        return -shard.astype(np.float32)

    def observe(self, step):
        self.seen += int(np.isin(step.ids, self.mine).sum())

    def state_dict(self):
        return {"seen": self.seen}


@breaks("scores_agree", "the scores of step 2", needs={Need.LOSSES})
class ScaledSelector(ScoringSelector):
    """Scales by the size of its shard, which changes no order."""

    def score(self, request, shard):
        return request.signals.losses(shard) / np.float32(max(1, len(shard)))

    def choose(self, request, scores):
        return first(request)


@breaks("orders_are_kept", "the order is lost")
class HalfOrderedSelector(Selector):
    """Orders one domain, and leaves the others to chance."""

    def select(self, request):
        return Selection(ids=request.candidates[: request.count], ordered=0 in request.candidates)


@breaks("parts_weigh_alike", "weighs sample 0 of the window otherwise", compares=False)
class ComparingWeighter(Weighter):
    """Compares with the mean of the window."""

    def weigh(self, request, losses):
        return losses.per_sample / losses.per_sample.mean()


# Collectives


@breaks("collectives_match", "calls signals.losses()", needs={Need.LOSSES})
class SkippingWeighter(Weighter):
    """Prepares nothing where its shard has no long sample."""

    def prepare(self, request):
        shard = request.signals.shard(request.ids)
        if 0 in shard:
            request.signals.losses(shard)

    def weigh(self, request, losses):
        return losses.values.new_ones(len(losses.values))


@breaks("collectives_match", "calls signals.losses()", needs={Need.LOSSES})
class SkippingSelector(Selector):
    """Asks nothing where its shard is empty."""

    def select(self, request):
        shard = request.signals.shard(request.candidates)
        if len(shard):
            request.signals.losses(shard)
        return first(request)


@breaks("collectives_match", "signals.losses", needs={Need.LOSSES})
class ExtraSelector(ScoringSelector):
    """Asks once more where its own samples are hard."""

    def score(self, request, shard):
        losses = request.signals.losses(shard)
        if np.nanmax(losses, initial=0.0) > 4.0:
            losses = losses - request.signals.losses(shard, model="base")
        return losses


@breaks("collectives_match", "losses(model='base')", needs={Need.LOSSES})
class OtherModelSelector(ScoringSelector):
    """Asks another model where its shard is long."""

    def score(self, request, shard):
        return request.signals.losses(shard, model="base" if 0 in shard else None)


@breaks("collectives_match", "the ranks' shards do not make up the ids", needs={Need.LOSSES})
class WholeShardSelector(Selector):
    """Gathers every rank's rows of all samples."""

    def select(self, request):
        losses = request.signals.losses(request.candidates)
        gathered = request.signals.gather(request.candidates, request.candidates, losses)
        return Selection(ids=top(request.candidates, gathered, request.count))


@breaks("collectives_match", "a row of rank", needs={Need.EMBEDDINGS})
class FlatEmptySelector(Selector):
    """Its rows have another shape where there are none."""

    def select(self, request):
        shard = request.signals.shard(request.candidates)
        rows = [[row.sum(), row.max()] for row in request.signals.embeddings(shard)]
        table = request.signals.gather(request.candidates, shard, np.array(rows))
        return Selection(ids=top(request.candidates, table[:, 0], request.count))


@breaks("collectives_match", "products(", needs={Need.GRADIENTS, Need.MOMENTS})
class ShardProductsSelector(ScoringSelector):
    """Multiplies what is of its own shard, where every rank has to give the same ids."""

    def score(self, request, shard):
        return request.signals.products(shard, request.candidates).max(axis=1)


@breaks("collectives_match", "influences(", needs={Need.GRADIENTS, Need.MOMENTS})
class ShardDirectionSelector(ScoringSelector):
    """Compares with the mean of its own shard, where every rank has to give the same direction."""

    def score(self, request, shard):
        mine = shard if len(shard) else request.candidates
        direction = request.signals.direction(mine, np.ones(len(mine)))
        return request.signals.influences(shard, directions=[direction])[:, 0]


# State


class Counting:
    """Counts its decisions."""

    def setup(self, context):
        self.count = 0

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]

    def mix(self, request):
        self.count += 1
        return np.arange(1, 1 + len(request.domains)) ** (self.count / 5)


@breaks("state_round_trips", "state.strategy.seen is a set")
class ObjectMixer(Counting, Mixer):
    def state_dict(self):
        return {"seen": {self.count}}


@breaks("state_round_trips", "saved and loaded: state.count")
class UnloadedMixer(Counting, Mixer):
    def load_state_dict(self, state):
        pass


@breaks("resumed_run_continues", "step 8: ")
class ForgetfulMixer(Counting, Mixer):
    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


@breaks("state_round_trips", "raises AttributeError")
class UnreadyMixer(Counting, Mixer):
    """Has no state before its first decision, where a run may be checkpointed already."""

    def setup(self, context):
        pass

    def mix(self, request):
        self.count = request.progress.decision
        return request.previous


@breaks("resumed_run_continues", "state_dict() must change nothing")
class SpentMixer(Counting, Mixer):
    def state_dict(self):
        saved, self.count = self.count, 0
        return {"count": saved}


@breaks("resumed_run_continues", "resumed before the losses of step 2, step 2: ", needs={Need.TRAINING_LOSSES})
class LostLossesMixer(Counting, Mixer):
    """Saves its decisions, and not the losses since."""

    def setup(self, context):
        super().setup(context)
        self.sums = np.ones(len(context.domains))

    def observe(self, step):
        self.sums = self.sums + step.loss_by_domain

    def mix(self, request):
        return self.sums


@breaks("resumed_run_continues", "resumed before step 8", needs={Need.LOSSES})
class FirstLossSelector(ScoringSelector):
    """Compares with losses that it keeps to itself."""

    def score(self, request, shard):
        return request.signals.losses(shard)

    def choose(self, request, scores):
        if not hasattr(self, "first"):
            self.first = dict(zip(request.candidates.tolist(), scores.tolist(), strict=True))
        fallen = [self.first.get(i, 0) - now for i, now in zip(request.candidates.tolist(), scores, strict=True)]
        return Selection(ids=top(request.candidates, np.array(fallen, dtype=np.float32), request.count))


@breaks("resumed_run_continues", "resumed before step 2", needs={Need.LOSSES})
class UnkeptAnchorsWeighter(Weighter):
    """Prepares what it does not save."""

    anchor = 1.0

    def prepare(self, request):
        shard = request.signals.shard(request.ids)
        self.anchor = float(request.signals.gather(request.ids, shard, request.signals.losses(shard)).mean())

    def weigh(self, request, losses):
        return (losses.per_sample - self.anchor).sigmoid()


# Care


@breaks("inputs_are_untouched", "request.candidates")
class ShufflingSelector(Selector):
    def select(self, request):
        request.candidates[:] = request.candidates[::-1]
        return first(request)


@breaks("inputs_are_untouched", "request.previous")
class InPlaceMixer(Mixer):
    def mix(self, request):
        shares = request.previous
        shares += 1
        return shares


@breaks("inputs_are_untouched", "step.losses")
class InPlaceObservingMixer(Mixer):
    def observe(self, step):
        step.losses[:] = 0

    def mix(self, request):
        return request.previous


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceParams:
    reference: Annotated[ReferenceModel, Doc("to exceed")] = "reference"


@breaks("inputs_are_untouched", "step.excess", params="ReferenceParams", needs={Need.REFERENCE_LOSSES})
class InPlaceExcessMixer(Mixer):
    def observe(self, step):
        step.excess[:] = 0

    def mix(self, request):
        return request.previous


@breaks("inputs_are_untouched", "losses.values")
class InPlaceWeighter(Weighter):
    def weigh(self, request, losses):
        return losses.values.add_(1).sum(dim=1)


@dataclass
class ListParams:
    kept: Annotated[list[int], Doc("grows")] = field(default_factory=list)


@breaks("inputs_are_untouched", "params", params="ListParams")
class GrowingSelector(Selector):
    def select(self, request):
        self.params.kept.append(len(request.candidates))
        return first(request)


@breaks("random_state_is_untouched", "numpy.random")
class SeedingSelector(Selector):
    def select(self, request):
        np.random.seed(0)
        return Selection(ids=np.random.permutation(request.candidates)[: request.count])


@breaks("random_state_is_untouched", "seeds, random;")
class PythonSelector(Selector):
    def select(self, request):
        random.random()
        return first(request)


@breaks("random_state_is_untouched", "torch")
class TorchWeighter(Weighter):
    def weigh(self, request, losses):
        import torch

        torch.manual_seed(request.progress.step)
        return torch.rand(len(losses.values))


@breaks("process_is_untouched", "leaves whether gradients are taken")
class GradientlessWeighter(Weighter):
    def setup(self, context):
        import torch

        torch.set_grad_enabled(False)

    def weigh(self, request, losses):
        return losses.per_sample.nan_to_num() + 1


@breaks("process_is_untouched", "leaves numpy's handling of errors changed")
class QuietSelector(Selector):
    def select(self, request):
        np.seterr(all="ignore")
        return first(request)


# Edges


@breaks("one_domain", "not finite")
class OthersMixer(Mixer):
    """Divides what a domain leaves among the others."""

    def mix(self, request):
        with np.errstate(all="ignore"):
            return (1 - request.previous) / np.array([len(request.domains) - 1])


@breaks("many_domains", "raises IndexError")
class TabledMixer(Mixer):
    def mix(self, request):
        return [[4, 3, 2, 1][k] for k in range(len(request.domains))]


@breaks("empty_domain", "raises ZeroDivisionError")
class InverseMixer(Mixer):
    def mix(self, request):
        return [1 / domain.size for domain in request.domains]


@breaks("empty_domain", "raises IndexError")
class FirstOfEachSelector(Selector):
    """Looks at the first candidate of each domain."""

    def select(self, request):
        for domain in request.domains:
            inside = np.arange(domain.start, domain.start + domain.size)
            assert inside[0] == domain.start
        return first(request)


@breaks("one_sample", "not finite", compares=False)
class SpreadWeighter(Weighter):
    """Divides by the spread of the losses, of which one loss has none."""

    def weigh(self, request, losses):
        mean = losses.per_sample.mean()
        return (losses.per_sample / (losses.per_sample - mean).square().sum()).abs()


@breaks("equal_losses", "found no usable sample", needs={Need.LOSSES})
class ScalingSelector(ScoringSelector):
    """Scales losses to 0 … 1."""

    def score(self, request, shard):
        return request.signals.losses(shard)

    def choose(self, request, scores):
        with np.errstate(all="ignore"):
            scaled = (scores - np.nanmin(scores)) / (np.nanmax(scores) - np.nanmin(scores))
        return Selection(ids=top(request.candidates, scaled, request.count))


@breaks("nan_losses", "whose score is NaN", needs={Need.LOSSES})
class SortingSelector(ScoringSelector):
    """Takes the end of a sort, where NaN is."""

    def score(self, request, shard):
        return request.signals.losses(shard)

    def choose(self, request, scores):
        return Selection(ids=request.candidates[np.argsort(scores)[-request.count :]])


@breaks("nan_losses", "not finite", needs={Need.LOSSES, Need.TARGET_SET})
class TargetMeanMixer(Mixer):
    """Takes the mean of the target set's losses, one of which may be NaN."""

    def mix(self, request):
        held = request.signals.target("held")
        every = np.arange(len(held))
        mine = held.shard(every)
        return request.previous * held.gather(every, mine, held.losses(mine)).mean()


@breaks("nan_losses", "not finite")
class MeanWeighter(Weighter):
    """Weighs by the distance from a mean that one sample makes NaN."""

    def weigh(self, request, losses):
        return (losses.per_sample - losses.per_sample.mean()).abs() + 1


@breaks("budget_edges", "raises ValueError", needs={Need.LOSSES})
class PartitionSelector(ScoringSelector):
    """Partitions at the count, which is out of bounds where all are wanted."""

    def score(self, request, shard):
        return request.signals.losses(shard)

    def choose(self, request, scores):
        return Selection(ids=request.candidates[np.argpartition(scores, request.count)[: request.count]])


@breaks("budget_edges", "found no usable sample")
class HalfSelector(Selector):
    """Chooses half of what it is asked for, which of one is none."""

    def select(self, request):
        return Selection(ids=request.candidates[: request.count // 2])


@breaks("fresh_candidates", "found no usable sample")
class RankedOnceSelector(Selector):
    """Knows the candidates of its first decision only."""

    def setup(self, context):
        self.known = {}

    def select(self, request):
        domain = next(d.name for d in request.domains if d.start <= request.candidates[0] < d.start + d.size)
        known = self.known.setdefault(domain, request.candidates.copy())
        return Selection(ids=np.intersect1d(known, request.candidates)[: request.count])


@breaks("predicted_scores", "says predictable=False", needs={Need.LOSSES})
class KeptScoresSelector(ScoringSelector):
    """Chooses by the scores that it kept, which are those of the latest part of a probe."""

    def score(self, request, shard):
        self.scored, self.kept = request.candidates.copy(), request.signals.losses(shard)
        return self.kept

    def choose(self, request, scores):
        places = np.searchsorted(self.scored, request.candidates)
        return top(request.candidates, self.kept[places], request.count)


@breaks("undrawn_domains", "not finite", needs={Need.TRAINING_LOSSES})
class MeanLossMixer(Mixer):
    """Divides by the tokens of a step, of which a domain may have none."""

    def observe(self, step):
        with np.errstate(all="ignore"):
            self.means = step.loss_by_domain / step.tokens_by_domain

    def mix(self, request):
        return self.means
