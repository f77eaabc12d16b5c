"""Configurations of DataFlex 1.x train unchanged, for as many steps and decisions as 1.x's arithmetic has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import journalled, of_kind

from dataflex_cli.main import cli

pytestmark = pytest.mark.numeric

OLD = Path(__file__).parents[1] / "old"

# The steps, and where each interval begins and ends. The words are 60 samples, 15 batches of 4.
RUNS = {
    "select_less": (2 * (1 + 2 * 2), [(0, 1), (1, 3), (3, 5), (5, 7), (7, 9), (9, 10)]),
    "reorder": (2 + 3 * 2, [(0, 2), (2, 5), (5, 8)]),
    "select_delta_loss": (1 * 15, [(0, 3), (3, 7), (7, 11), (11, 15)]),
    "select_loss": (1 * 15, [(0, 3), (3, 7), (7, 11), (11, 15)]),
    "mix_random": (2 + 3 * 2, [(0, 2), (2, 5), (5, 8)]),
    "mix_static": (6, [(0, 6)]),
    "mix_odm": (5, [(0, 1), (1, 3), (3, 5)]),
    "mix_moe": (5, [(0, 1), (1, 3), (3, 5)]),
    "lego": (1 + 2 * 2, [(0, 1), (1, 3), (3, 5)]),
    "weight_loss": (5, []),
    "weight_adapt": (5, []),
    "weight_joint": (5, []),
    "static": (3, []),
}


@pytest.fixture
def here(tmp_path, model, experts, data, monkeypatch):
    """A working directory as the configurations of 1.x expect one."""
    for path in OLD.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "data").symlink_to(data)
    (tmp_path / "model").symlink_to(model)
    (tmp_path / "experts").symlink_to(experts)
    monkeypatch.chdir(tmp_path)
    # LLaMA-Factory's log handler keeps the stream of the test that first imported it.
    monkeypatch.setattr("logging.raiseExceptions", False)
    return tmp_path


def train(*words):
    """`dataflex train`, in this process; what it printed."""
    done = CliRunner().invoke(cli, ["train", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def events(here):
    return journalled(here / "out")


def history(here):
    return json.loads((here / "out" / "trainer_state.json").read_text())


@pytest.mark.parametrize(("name", "steps", "intervals"), [(name, *run) for name, run in RUNS.items()], ids=RUNS)
def test_it_trains_as_many_steps_and_decides_as_often(here, name, steps, intervals):
    said = train(f"{name}.yaml")
    assert history(here)["global_step"] == steps
    assert (here / "out" / "dataflex").exists() == (name != "static")
    if name == "static":
        assert "no strategy" in said
        return
    told = events(here)
    assert [(d["step"], d["until"]) for d in of_kind(told, "decision")] == intervals
    assert of_kind(told, "end") == [{"event": "end", "step": steps}]


@pytest.mark.parametrize(
    ("name", "override", "chosen"),
    [
        ("mix_random", "init_mixture_proportions=[0.75,0.25]", {"words": 6, "numbers": 2}),
        ("mix_random", "init_mixture_proportions=null", {"words": 4, "numbers": 4}),
        ("mix_random", "mixture_sample_rule=uniform", {"words": 4, "numbers": 4}),
        ("mix_random", "mixture_sample_rule=stratified", {"words": 5, "numbers": 3}),
        ("mix_static", "init_mixture_proportions=[3,1]", {"words": 18, "numbers": 6}),
    ],
)
def test_the_first_steps_mix_as_the_file_says(here, name, override, chosen):
    train(f"{name}.yaml", override)
    assert of_kind(events(here), "decision")[0]["chosen"] == chosen


def test_the_three_steps_of_doremi(here):
    train("doremi_step1.yaml")
    said = train("doremi_step2.yaml")
    assert "mixer doremi: excess losses count as in the paper" in said
    proxy = journalled(here / "doremi_proxy")
    assert [(d["step"], d["until"]) for d in of_kind(proxy, "decision")] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert {p["name"]: p["params"]["eta"] for p in proxy[0]["strategies"]} == {"doremi": 0.1}
    assert all(d["proportions"] == {"words": 0.5, "numbers": 0.5} for d in of_kind(proxy, "decision")[1:])
    found = CliRunner().invoke(cli, ["proportions", "doremi_proxy", "--json"], catch_exceptions=False)
    mean = json.loads(found.stdout)["mean"]
    assert sum(mean.values()) == pytest.approx(1)
    train("doremi_step3.yaml", f"init_mixture_proportions={list(mean.values())}")
    (final,) = of_kind(journalled(here / "doremi_final"), "decision")
    assert final["proportions"] == pytest.approx(mean)


def test_weights_begin_after_the_warmup(here):
    train("weight_loss.yaml")
    logged = [entry["step"] for entry in history(here)["log_history"] if "dataflex/effective_share" in entry]
    assert logged == [3, 4, 5]


def test_what_changed_is_said_once_and_before_the_run_is(here):
    said = train("select_less.yaml", "train_step=5").splitlines()
    line = "cache_dir of selector less: without effect, decisions are kept in output_dir/dataflex"
    (at,) = [i for i, each in enumerate(said) if line in each]
    assert at < next(i for i, each in enumerate(said) if "on LLaMA-Factory" in each)
    assert history(here)["global_step"] == 5
