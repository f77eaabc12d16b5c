"""What is compared, and beside what: strategies and their settings, as data. A new arm is a line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from experiments.claims.planted import ANSWERS, APART, DOMAINS, HELPS, MANY, TOKENS, PlantedCorpus

REFERENCE = "REFERENCE"
"""Where a setting names the reference model."""
_SCORED = {"candidates": "all", "exact": 0.25}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An arm: ``section`` is what a configuration would say below ``dataflex:``, but for the number of decisions.

    ``args`` are those of LLaMA-Factory's that differ from the others'.
    """

    name: str
    section: Mapping[str, Any]
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Arms on one corpus, trained for ``steps``.

    The first is the control, which is trained for ``control_steps``: it says what equal work comes to.
    """

    corpus: PlantedCorpus
    claims: tuple[Claim, ...]
    steps: int = 90
    control_steps: int = 270

    def steps_of(self, claim: Claim) -> int:
        """How long an arm is trained."""
        return self.control_steps if claim is self.claims[0] else self.steps


def _selector(arm: str, name: str, section: Mapping[str, Any] | None = None, **params: Any) -> Claim:
    return Claim(name=arm, section={**(section or {}), "selector": {"name": name, **params}})


def _mixer(arm: str, name: str, section: Mapping[str, Any] | None = None, **params: Any) -> Claim:
    return Claim(name=arm, section={**(section or {}), "mixer": {"name": name, **params}})


def _weighter(arm: str, name: str, **params: Any) -> Claim:
    return Claim(name=arm, section={"weighter": {"name": name, **params}})


def _one_by_one(claim: Claim) -> Claim:
    """The same samples in a step, a forward and backward pass each."""
    args = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16}
    return replace(claim, name=f"{claim.name}, one by one", args=args)


_RANDOM = _selector("random", "random")
_UNIFORM = _weighter("uniform", "uniform")
_LINUPPER = _weighter("loss, linupper", "loss", strategy="linupper")
_QUADRATIC = _weighter("loss, quadratic", "loss", strategy="quadratic")
_MIXERS = (
    _mixer("uniform", "temperature", temperature=1e6),
    _mixer("proportional", "temperature"),
    _mixer("doremi", "doremi", reference_model=REFERENCE),
    _mixer("odm", "odm"),
    _mixer("odm, exploration .5", "odm", exploration=0.5),
    _mixer("ado", "ado", start=20, every=10, smoothing=11),
    _mixer("doge", "doge"),
)
_TOWARDS = _mixer("doge, towards the target set", "doge", towards="target")


def _sheared(holdout: float, **params: Any) -> Claim:
    name = ", ".join(["sheared", *(f"{key} {value}" for key, value in params.items())])
    return _mixer(name, "sheared", {"holdout": holdout}, reference_model=REFERENCE, **params)


_GRADED = {"reward": "rouge-l", "mc_samples": 4, "max_new_tokens": 24}
EXPERIMENTS = {
    "selectors": (
        Comparison(
            corpus=HELPS,
            claims=(
                _RANDOM,
                _selector("less", "less", _SCORED),
                _selector("icons", "icons", _SCORED),
                _selector("near", "near"),
                _selector("tsds", "tsds"),
                _selector("cluster-less", "cluster-less", {"candidates": 4}),
                _selector("nice", "nice", _SCORED, **_GRADED),
                _selector("greats", "greats", {"candidates": 4, "update_steps": 1}),
                _selector("curriculum by length", "curriculum", score="length"),
            ),
        ),
        Comparison(
            corpus=ANSWERS,
            claims=(
                _RANDOM,
                _selector("delta-loss", "delta-loss"),
                _selector("loss, medium", "loss", {"candidates": 4}, focus="medium"),
                _selector("loss, high", "loss", {"candidates": 4}, focus="high"),
                _selector("rho-loss", "rho-loss", {"candidates": 4}, reference_model=REFERENCE),
            ),
        ),
    ),
    "weighters": (
        Comparison(
            corpus=TOKENS,
            claims=(_UNIFORM, _weighter("rho-1", "rho-1", reference_model=REFERENCE, keep=0.7)),
        ),
        Comparison(
            corpus=APART,
            claims=(_UNIFORM, _LINUPPER, _one_by_one(_LINUPPER), _QUADRATIC, _one_by_one(_QUADRATIC)),
        ),
        Comparison(
            corpus=HELPS, claims=(_UNIFORM, _weighter("adapt", "adapt"), _weighter("joint-update", "joint-update"))
        ),
    ),
    "mixers": (
        Comparison(corpus=DOMAINS, claims=(*_MIXERS, _TOWARDS, _sheared(0.1))),
        Comparison(
            corpus=MANY,
            claims=(*_MIXERS, _sheared(0.3), _sheared(0.3, smoothing=0.5)),
            steps=240,
            control_steps=480,
        ),
    ),
}
