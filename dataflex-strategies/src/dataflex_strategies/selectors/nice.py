"""NICE: influence on a reward that has no gradient (Wang et al., ICML 2025).

numpy is imported where it is used: describing the parameters stays light.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt
from typing_extensions import Doc

from dataflex_core import Cost, CostRequest, ScoringSelector, Selection, SelectionRequest, UsageError, top
from dataflex_strategies.rewards import reward_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core import Direction, Generations, Signals

    Ids = NDArray[np.int64]
    Scores = NDArray[np.float32]
    Numbers = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NiceParams:
    """How completions are drawn and rewarded, and how a sample's update is reckoned."""

    reward: Annotated[
        str, Doc("exact-match, rouge-l, or module:function, called with prompt, completion and reference")
    ] = "exact-match"
    mc_samples: Annotated[int, Ge(2), Doc("completions of each sample of the target set")] = 10
    temperature: Annotated[float, Gt(0), Doc("completions are drawn at")] = 1.0
    max_new_tokens: Annotated[int, Ge(1), Doc("tokens of a completion, at most")] = 128
    gradient: Annotated[
        Literal["adam", "sgd"],
        Doc("the direction of a training sample: the running Adam's update, or the plain gradient"),
    ] = "adam"

    def __post_init__(self) -> None:
        try:
            reward_of(self.reward)
        except ValueError as error:
            raise ValueError(f"reward={self.reward!r}: {error}") from error


class NiceSelector(ScoringSelector[NiceParams]):
    """Chooses the samples whose update makes the model's own answers on the target set better, by a reward.

    For each sample t of the target set ``mc_samples`` completions y are drawn of its prompt, and rewarded. ``NLL`` is
    minus the log likelihood of all of a completion's tokens, ``r̄ₜ`` the mean reward of t's completions, ``Γ`` the
    direction that the run's own Adam would take for a training sample's gradient::

        dₜ       = Σ over completions y of t of  (r(y) − r̄ₜ) ∇NLL(y)         minus a policy gradient
        score(i) = max over subtasks of  mean over t in the subtask of  cos(Γᵢ, dₜ)

    Every evaluation data set is a subtask. Where all completions of t are rewarded alike ``dₜ`` is zero, and t is left
    out: how many are is the note ``undirected``, beside the mean ``reward`` of all completions. Where that goes for all
    of the target set nothing can be told apart: the choice is a uniform draw, and the journal has a shortage that says
    so. Gradients are taken exactly, without a projection.

    Rewards are a plugin point: ``module:function`` names a function ``(prompt, completion, reference) -> float`` of
    yours, of three texts, installed or in the working directory. The process that made a completion calls it, once.

    Departs from the paper, which takes completions and gradients of a model that was warmed up before, and projects:
    both are of the model in training, anew at each decision. Rewards are centred, which takes variance from the
    estimate and no more. DataFlex 1.x takes the reward of a model of its own: name a function that calls it.

    When to use: where what counts is whether answers are right, and a reference answer is one of many good ones:
    programs, proofs, free text. The model has to be rewarded now and then, and not always. Most of the cost is the
    target set's: ``mc_samples`` completions of each of its samples, and a gradient of each. Some dozens of samples with
    short answers do; bound answers with ``max_new_tokens``. With a few tokens to an answer, and one right one, ``less``
    finds the same for less: in 90 steps of a model that starts from nothing ``less`` took the target's domain 2.7 times
    as often as chance, and ``nice`` 1.9 times, at six times the cost and with the held-out loss of random samples.
    """

    def __init__(self, params: NiceParams) -> None:
        super().__init__(params)
        self._reward = reward_of(params.reward)
        self._step = -1
        self._directions: list[Direction] = []
        self._notes: dict[str, float] = {}

    def score(self, request: SelectionRequest, shard: Ids) -> Scores:
        """The score of each sample; 0 where no sample of the target set has a direction."""
        import numpy as np

        signals = request.signals
        if self._step != request.progress.step:  # a decision may score in parts
            self._look(signals)
            self._step = request.progress.step
        if not self._directions:
            return np.where(signals.target_tokens(shard) > 0, np.float32(0), np.float32(np.nan))
        adam = self.params.gradient == "adam"
        largest: Scores = signals.influences(shard, directions=self._directions, adam=adam).max(axis=1)
        return largest

    def choose(self, request: SelectionRequest, scores: Scores) -> Selection:
        """The highest scores; a uniform draw where all are alike."""
        import numpy as np

        usable = request.candidates[~np.isnan(scores)]
        ids, instead = top(request.candidates, scores, request.count), ""
        if len(ids) < len(usable) and np.nanmax(scores) == np.nanmin(scores):
            ids = request.rng.choice(usable, size=len(ids), replace=False)
            instead = "drawn at random: all scores are alike"
        if self._notes and not self._directions:
            instead = "drawn at random: no reward tells completions of a target apart"
        return Selection(ids=ids, notes=self._notes, instead=instead)

    def _look(self, signals: Signals) -> None:
        """Draw and reward completions of the target set, and make the directions of its subtasks."""
        import numpy as np

        told, undirected, self._directions = [], 0, []
        for name in signals.targets:
            rewards, rows = self._completions(signals.target(name), name)
            told.append(rewards.reshape(-1))
            weights = centred(rewards)
            has = weights.any(axis=1)
            undirected += int((~has).sum())
            if has.any():
                kept = [row for row, used in zip(rows, np.repeat(has, self.params.mc_samples), strict=True) if used]
                self._directions.append(_direction(signals, kept, weights[has], f"completions of {name}"))
        self._notes = {"reward": float(np.concatenate(told).mean()), "undirected": float(undirected)}

    def _completions(self, held: Signals, name: str) -> tuple[Scores, list[dict[str, list[int]]]]:
        """Rewards Float32[M, C] of completions of a subtask's samples, and these as M x C rows; on every rank."""
        import numpy as np

        params, every = self.params, np.arange(len(held), dtype=np.int64)
        shard = held.shard(every)
        made = held.generations(
            shard, count=params.mc_samples, max_new_tokens=params.max_new_tokens, temperature=params.temperature
        )
        found = [self._rewarded(made, i, f"sample {row} of {name}") for i, row in enumerate(shard.tolist())]
        rewards = np.array(found, dtype=np.float32).reshape(len(shard), params.mc_samples)
        return held.gather(every, shard, rewards), _rows(held, every, shard, made, params.mc_samples)

    def _rewarded(self, made: Generations, i: int, what: str) -> list[float]:
        """The rewards of one sample's completions. Raises `UsageError` for one that is no finite number."""
        import math

        given = [self._reward(made.prompt_texts[i], text, made.references[i]) for text in made.texts[i]]
        try:
            rewards = [float(reward) for reward in given]
        except (TypeError, ValueError):
            rewards = [math.nan]
        if not all(map(math.isfinite, rewards)):
            raise UsageError(
                f"nice: {self.params.reward} rewards completions of {what} with {given}",
                hint="let it return a finite number for any text, an empty one too",
            )
        return rewards


def centred(rewards: Numbers) -> NDArray[np.float64]:
    """Rewards Float[M, C] of C completions each of M samples, less each sample's mean: zeros where all are alike."""
    import numpy as np

    table = np.asarray(rewards, dtype=np.float64)
    alike = table.max(axis=1, keepdims=True) == table.min(axis=1, keepdims=True)
    return np.where(alike, 0.0, table - table.mean(axis=1, keepdims=True))


def directions(rewards: Numbers, gradients: Numbers) -> NDArray[np.float64]:
    """The direction of each of M samples, Float64[M, d]: Σ over its C completions of centred reward × gradient.

    ``rewards`` Float[M, C], and ``gradients`` Float[M, C, d] of the completions' negative log likelihoods. Zeros where
    all rewards of a sample are the same.
    """
    import numpy as np

    found: NDArray[np.float64] = np.einsum("mc,mcd->md", centred(rewards), np.asarray(gradients, dtype=np.float64))
    return found


def cost(params: NiceParams, request: CostRequest) -> Cost:
    """A candidate's gradient; of a target sample completions, each reckoned as a training step, and their gradients."""
    return Cost(candidate=1.0, target=2.0 * params.mc_samples)


def _direction(signals: Signals, rows: list[dict[str, list[int]]], weights: Numbers, name: str) -> Direction:
    """The mean direction of M samples, whose M x C completions are ``rows``, by their centred rewards Float[M, C].

    A gradient is of a completion's mean loss, and a likelihood is of all of its tokens: that is the mean times so many.
    """
    import numpy as np

    tokens = np.array([sum(label >= 0 for label in row["labels"]) for row in rows], dtype=np.float64)
    samples, completions = weights.shape
    sums = np.zeros((samples, samples, completions))
    sums[np.arange(samples), np.arange(samples)] = weights
    return signals.over(rows, name).direction(np.arange(len(rows)), sums.reshape(samples, -1) * tokens)


def _rows(held: Signals, every: Ids, shard: Ids, made: Generations, count: int) -> list[dict[str, list[int]]]:
    """All completions of all ranks as samples of their own, ``count`` for each of ``every``, in order."""
    import numpy as np

    # Token ids travel as float32, which holds whole numbers up to 2^24: more than any vocabulary has.
    runs = [[[*prompt], *mine] for prompt, mine in zip(made.prompts, made.completions, strict=True)]
    flat = [np.concatenate([np.asarray(run, dtype=np.float32) for run in sample]) for sample in runs]
    lengths = np.array([[len(run) for run in sample] for sample in runs], dtype=np.float32).reshape(-1, count + 1)
    return list(_split(held.gather(every, shard, flat), held.gather(every, shard, lengths)))


def _split(flat: list[Scores], lengths: Scores) -> Iterator[dict[str, list[int]]]:
    import numpy as np

    for tokens, counts in zip(flat, lengths.astype(np.int64), strict=True):
        prompt, *completions = np.split(tokens.astype(np.int64), np.cumsum(counts)[:-1])
        before = prompt.tolist()
        for run in map(np.ndarray.tolist, completions):
            labels = [-100] * len(before) + run
            yield {"input_ids": before + run, "labels": labels, "attention_mask": [1] * len(labels)}
