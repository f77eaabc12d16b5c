"""The world's size changes nothing: two and four gloo ranks choose, mix and weigh as one process does."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import base_args, build_data, journalled, of_kind, train, weights

from dataflex_core.journal.texts import read_texts

pytestmark = pytest.mark.numeric

# No warm-up: the first decision is taken from the very same model state.
SECTION = {"warmup_steps": 0, "update_steps": 3}
ALL = {"selector": "loss", "mixer": "temperature", "weighter": "loss"}
PREDICTED = {"selector": "less", "mixer": "temperature"}
SETTINGS = {
    "cluster-less": {"cluster_size": 20},
    "greats": {"exact_up_to": 60},
    "icons": {},
    "nice": {"mc_samples": 3, "max_new_tokens": 4, "reward": "rouge-l"},
}
"""Of selectors by gradients that are slow to test."""
MIXING = {
    "ado": {"mixer": {"name": "ado", "start": 6, "smoothing": 5, "spacing": 1}},
    "doge": {"mixer": {"name": "doge", "probe": 5}},
    "sheared": {"mixer": {"name": "sheared", "target_losses": [1, 3]}, "holdout": 0.2},
    "odm": {"mixer": {"name": "odm", "reward": "holdout"}, "holdout": 0.2},
}
"""Mixers that learn, or ask the model."""
PREDICTING = {"exact": 0.5, "exact_floor": 0, "features": "both"}
CASES = [
    pytest.param(2, ALL, id="all three on 2", marks=pytest.mark.slow),
    pytest.param(2, {"selector": "less"}, id="less on 2", marks=pytest.mark.slow),
    pytest.param(2, PREDICTED, id="predicted on 2", marks=pytest.mark.slow),
    pytest.param(2, {"weighter": "loss"}, id="weighter alone on 2", marks=pytest.mark.slow),
    pytest.param(4, ALL, id="all three on 4", marks=pytest.mark.slow),
    pytest.param(4, {"selector": "less"}, id="less on 4", marks=pytest.mark.slow),
    pytest.param(4, {"mixer": "random", "weighter": "loss"}, id="mixer and weighter on 4", marks=pytest.mark.slow),
    pytest.param(2, {"mixer": "dynamic-moe"}, id="dynamic-moe on 2", marks=pytest.mark.slow),
    *(pytest.param(2, {"selector": name}, id=f"{name} on 2", marks=pytest.mark.slow) for name in SETTINGS),
    *(pytest.param(2, {"mixer": name}, id=f"{name} on 2", marks=pytest.mark.slow) for name in MIXING),
]


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A pool and target sets that no number of ranks divides."""
    sizes = {"words": 61, "numbers": 42, "held": 7, "numbers_held": 5}
    return build_data(tmp_path_factory.mktemp("uneven"), sizes=sizes)


def _on_ranks(ranks, args, tmp_path, **strategies):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(args))
    flags = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    command = [sys.executable, "-m", "dataflex_cli", "run", str(config), *flags, "--nproc", str(ranks)]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)


def _reasons(output):
    """The target sample that each shown sample of the first decision helps most, and the cosine."""
    (file,) = (output / "dataflex" / "texts").glob("*.jsonl")
    first = [one for one in read_texts(file).shown if one.decision == 1 and one.helps is not None]
    return {(one.sample, one.why): (one.helps.target, one.helps.cosine) for one in first}


@pytest.mark.parametrize(("ranks", "strategies"), CASES)
def test_ranks_decide_as_one(model, experts, uneven, tmp_path, ranks, strategies):
    model = experts if strategies.get("mixer") == "dynamic-moe" else model
    common = {
        "max_steps": 7,
        "eval_dataset": "held,numbers_held",
        "lr_scheduler_type": "constant",
        "learning_rate": 1e-3,
        # Adam turns the sign of a gradient that is nothing but rounding into a whole step, unless eps is above it.
        "adam_epsilon": 1e-3,
        # The second decision may fall otherwise: the models it looks at agree to rounding only.
        "save_steps": SECTION["update_steps"],
        "save_strategy": "steps",
        "dataflex": SECTION if strategies is not PREDICTED else {**SECTION, **PREDICTING},
    }
    if (name := strategies.get("selector")) in SETTINGS:
        common["dataflex"] = {**SECTION, "selector": {"name": name, **SETTINGS[name]}}
    if (mixer := strategies.get("mixer")) in MIXING:
        common["dataflex"] = {**SECTION, **MIXING[mixer]}
    one: list[dict] = []
    train(base_args(model, uneven, tmp_path / "1", **common), events=one, **strategies)
    args = base_args(model, uneven, tmp_path / "n", per_device_train_batch_size=4 // ranks, **common)
    done = _on_ranks(ranks, args, tmp_path, **strategies)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert done.stdout.count("done: 7 steps, 28 samples") == 1, f"rank 0 alone tells\n{done.stdout}"
    shared = journalled(tmp_path / "n")
    assert of_kind(shared, "start")[0]["ranks"] == ranks
    first, same = (of_kind(events, "decision")[:1] for events in (one, shared))
    assert [d["plan"] for d in first] == [d["plan"] for d in same]
    for alone, together in zip(first, same, strict=True):
        assert together["proportions"] == alone["proportions"] or together["proportions"] == pytest.approx(
            alone["proportions"], rel=1e-5
        )
    for alone, together in zip(of_kind(one, "step")[:3], of_kind(shared, "step")[:3], strict=True):
        assert sorted(alone["samples"]) == sorted(together["samples"])
    first, same = (of_kind(events, "trained")[0] for events in (one, shared))
    assert (first["samples"], first["tokens"]) == (same["samples"], same["tokens"])
    takes_losses = "weighter" in strategies or (mixer in MIXING and mixer != "doge")
    assert (same["losses"] is None) == (first["losses"] is None) == (not takes_losses)
    assert same["losses"] is None or same["losses"] == pytest.approx(first["losses"], rel=1e-3)
    assert (same["weights"] is None) == (first["weights"] is None)
    assert same["weights"] is None or same["weights"] == pytest.approx(first["weights"], rel=1e-3)
    first, same = (_reasons(tmp_path / run) for run in ("1", "n"))
    assert same.keys() == first.keys()
    assert all(same[key] == (told[0], pytest.approx(told[1], abs=1e-3)) for key, told in first.items())
    assert bool(first) == (strategies.get("selector") in ("less", "icons")), "others ask about no influence"
    first, same = (weights(tmp_path / run / "checkpoint-3") for run in ("1", "n"))
    gap = max(float((first[name] - same[name]).abs().max()) for name in first)
    assert gap < 1e-4, "same samples, same weights: the same model to rounding"


@pytest.mark.slow
def test_a_fault_in_the_ranks_is_one_line(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", dataset="words", dataflex={"update_steps": 100, "updates": 1})
    done = _on_ranks(2, args, tmp_path, selector="random")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "Error: an interval trains on 800 samples" in done.stderr
    assert not (tmp_path / "out").exists()
