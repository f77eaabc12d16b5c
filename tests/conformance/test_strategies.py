"""Every strategy that is installed conforms, with parameters of every shape; and so do strategies that use it all."""

from __future__ import annotations

import pytest

from conformance import sound
from dataflex_core.catalog import discover
from dataflex_core.testing import check_strategy, parametrize_with_checks

INSTALLED = [record.spec for record in discover().of_kind() if record.distribution == "dataflex-strategies"]
PARAMS = {
    "selector-loss": [{}, {"focus": "low", "boost": 0.5}, {"focus": "medium", "boost": 50.0, "temperature": 0.1}],
    "selector-column": [
        {},
        {"column": "quality", "take": "bottom"},
        {"take": "band", "low": 0.2, "high": 0.9},
        {"take": "threshold", "threshold": 0.0},
    ],
    "selector-curriculum": [{"pattern": "saw", "window": 3}],
    "selector-near": [{"metric": "euclidean", "pooling": "last"}],
    "selector-tsds": [{"kde_k": 3}],
    "selector-less": [
        {"gradient": "sgd", "layers": "last-2", "refresh_target": 3},
        {"layers": 0.25, "prefilter": "losses"},
        {"prefilter": "embeddings", "prefilter_share": 0.3},
    ],
    "selector-icons": {},
    "selector-greats": {"exact_up_to": 30, "temperature": 1e-3},
    "selector-cluster-less": {"cluster_size": 12, "samples_per_cluster": 2},
    "selector-nice": {"mc_samples": 3, "reward": "rouge-l"},
    "mixer-ado": [{"start": 6, "every": 3, "smoothing": 5, "spacing": 1}, {}],
    "mixer-doge": [{"towards": "target", "probe": 3}, {}],
    "mixer-doremi": [{}],
    "mixer-dynamic-moe": [{"probe": 5}, {"probe": 1000, "distance": "cosine", "smoothing": 0.0}],
    "mixer-odm": [{}, {"exploration": 0.5, "alpha": 0.0}, {"reward": "holdout"}],
    "mixer-random": [{}, {"concentration": 0.05}],
    "mixer-sheared": [
        {"reference_model": "base", "clip": False},
        {"reference_model": "base", "losses": "training"},
    ],
    "mixer-static": [
        {"proportions": {"words": 2, "code": 0, "numbers": 1}},
        {"proportions": [1e-9, 1.0, 1e9]},
        {"proportions": [3]},
    ],
    "mixer-temperature": [{}, {"temperature": 0.05}, {"temperature": 1e6}],
    "weighter-loss": [
        {},
        {"strategy": "quadratic", "delta": 3.0},
        {"strategy": "extremes", "r": 0.01},
        {"strategy": "upper", "r": 0.5, "r_start": 5.0, "r_steps": 3},
    ],
    "weighter-adapt": [{}, {"tau": 0.01, "clip": 0.3}],
    "weighter-joint-update": [{}, {"beta": 3.0, "iterations": 5, "rho": 1.0}, {"objective": "diverse_only"}],
    "weighter-rho-1": [{}, {"keep": 0.01}],
}


# One set of each strategy; the others are slow.
FIRST = {name: next(iter(sets)) if isinstance(sets, list) else sets for name, sets in PARAMS.items()}
MORE = {name: sets[1:] for name, sets in PARAMS.items() if isinstance(sets, list) and len(sets) > 1}


@parametrize_with_checks(INSTALLED, params=FIRST)
def test_what_is_installed_conforms(check):
    check()


@pytest.mark.slow
@parametrize_with_checks([spec for spec in INSTALLED if f"{spec.kind}-{spec.name}" in MORE], params=MORE)
def test_what_is_installed_conforms_whatever_its_parameters(check):
    check()


@pytest.mark.parametrize(
    "spec", [*sound.dataflex_strategies(), *sound.OTHERS], ids=lambda spec: f"{spec.kind}-{spec.name}"
)
def test_a_strategy_that_asks_draws_and_remembers_conforms(spec):
    check_strategy(spec)
