"""A journal, replayed through the planner with its scores, gives every plan again: without a model, without torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from cases import cases
from support import base_args, train

from dataflex_core.catalog import discover
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.errors import DataError
from dataflex_core.journal import Decision, Resume, read_journal
from dataflex_core.journal.replay import replay
from dataflex_core.planning.planner import Planner

pytestmark = pytest.mark.numeric

RUNS = {
    "a selector": ({"selector": "less"}, {}),
    "a selector of fresh candidates": ({"selector": "loss"}, {"candidates": 1.5}),
    "a selector without scores": ({"selector": "random"}, {"candidates": 2}),
    "a mixer": ({"mixer": "random"}, {"warmup_proportions": "uniform"}),
    "a mixer of tokens": ({"mixer": "random"}, {"warmup_proportions": "uniform", "unit": "tokens"}),
    "a mixer that uses domains up": ({"mixer": "random"}, {"exhaustion": "renormalise", "warmup_steps": 6}),
    "both": ({"mixer": "random", "selector": "loss"}, {"candidates": 2}),
    "scores for the most part predicted": ({"selector": "less"}, {"exact": 0.5, "exact_floor": 0}),
    "a choice that is spread": ({"selector": "loss"}, {"spread": {"repeats": 2, "rise": 2.0}}),
    "both, of the whole pool": ({"mixer": "random", "selector": "less", "weighter": "loss"}, {}),
}


@pytest.fixture
def scores(monkeypatch):
    """The scores of every decision, as the run's planner saw them."""
    found: dict[int, np.ndarray] = {}
    decide = Planner.decide

    def kept(self, interval, progress, signals):
        plan = decide(self, interval, progress, signals)
        if plan.scored is not None:
            found[interval.decision] = plan.scored[1]
        return plan

    monkeypatch.setattr(Planner, "decide", kept)
    return found


@pytest.mark.parametrize("name", cases(RUNS, slow=["a selector", "a choice that is spread", "both"]))
def test_a_replayed_journal_gives_every_plan_again(model, data, tmp_path, scores, name):
    strategies, section = RUNS[name]
    args = base_args(model, data, tmp_path / "out", max_steps=20, eval_dataset="held", dataflex=section)
    output = train(args, **strategies)
    recorded = dict(scores)
    events = list(read_journal(output / "dataflex" / "journal.jsonl"))
    again = list(replay(events, discover(), recorded))
    assert [event for event, _ in again] == [event for event in events if isinstance(event, Decision)]
    assert len(again) > 4
    for event, plan in again:
        assert plan.digest == event.plan
        assert dict(zip(event.chosen, plan.counts, strict=True)) == event.chosen
        assert plan.judged == event.judged
    if recorded:
        with pytest.raises(DataError, match=r"decision 1 judged \d+ candidates, and there are none scores of it"):
            list(replay(events, discover()))


def test_a_choice_by_a_column_is_replayed_with_the_column(model, data, tmp_path, scores):
    rng, columns = np.random.default_rng(0), []
    shutil.copytree(data, tmp_path / "data")
    for name in ("words", "numbers"):
        path = tmp_path / "data" / f"{name}.json"
        rows = [{**row, "score": 1 + 1e-9 * rng.random()} for row in json.loads(path.read_text())]  # one float32
        path.write_text(json.dumps(rows))
        columns += [row["score"] for row in rows]
    args = base_args(model, tmp_path / "data", tmp_path / "out", max_steps=8, dataflex={"columns": ["score"]})
    events = list(read_journal(train(args, selector="column") / "dataflex" / "journal.jsonl"))
    with pytest.raises(DataError, match=r"no data, and the column score is read \(give the columns"):
        list(replay(events, discover(), scores))
    again = list(replay(events, discover(), scores, {"score": np.array(columns)}))
    assert [plan.digest for _, plan in again] == [event.plan for event, _ in again]
    assert len(again) == 3


ODD = """
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

from typing_extensions import Doc

from dataflex_core import Kind, Selection, Selector, StrategySpec, hookimpl


class Band(Enum):
    LOW = "low"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    start: float = 2.0


@dataclass(frozen=True, kw_only=True)
class Params:
    schedules: Annotated[list[Schedule], Doc("several")] = field(default_factory=lambda: [Schedule()])
    band: Annotated[Band, Doc("of bands")] = Band.LOW
    shares: Annotated[dict[Band, float], Doc("by band")] = field(default_factory=lambda: {Band.LOW: 1.0})
    names: Annotated[frozenset[str], Doc("of several")] = frozenset({"alpha", "beta", "gamma"})
    top: Annotated[float, Doc("no limit")] = float("inf")


class Front(Selector[Params]):
    def select(self, request):
        assert self.params == Params()
        return Selection(ids=request.candidates[: request.count])


@hookimpl
def dataflex_strategies():
    yield StrategySpec(kind=Kind.SELECTOR, name="front", target="odd:Front", params="odd:Params", summary="the first")
"""


def test_a_run_whose_parameters_are_of_types_that_json_lacks_is_kept_and_replayed(model, data, tmp_path):
    (tmp_path / "odd.py").write_text(ODD)
    catalog = discover(plugins=Plugins(files=(tmp_path / "odd.py",)))
    args = base_args(model, data, tmp_path / "out", max_steps=8, save_strategy="steps", save_steps=4)
    output = train(args, catalog=catalog, selector="front")
    state = json.loads((output / "checkpoint-4" / "dataflex" / "state.json").read_text())["state"]
    assert state["provenance"]["parameters"]["selector.names"] == ["alpha", "beta", "gamma"]
    again = list(replay(read_journal(output / "dataflex" / "journal.jsonl"), catalog))
    assert [plan.digest for _, plan in again] == [event.plan for event, _ in again]
    assert len(again) == 3


@pytest.mark.parametrize("module", ["dataflex_core.planning.planner", "dataflex_core.journal.replay"])
def test_deciding_needs_no_torch(module):
    code = f"import sys, {module}; assert not {{'torch', 'transformers', 'llamafactory'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_run_that_went_on_with_other_data_is_refused(model, data, tmp_path):
    output = train(base_args(model, data, tmp_path / "out", max_steps=5), selector="random")
    events = list(read_journal(output / "dataflex" / "journal.jsonl"))
    resume = Resume(step=2, checkpoint="out/checkpoint-2", domains={"words": 7})
    with pytest.raises(DataError, match="went on with other data after step 2"):
        list(replay([*events[:3], resume, *events[3:]], discover()))
    resume = replace(resume, domains=None, changed=("exact was 0.5, is 0.2",))
    with pytest.raises(DataError, match="went on otherwise after step 2: exact was"):
        list(replay([*events[:3], resume, *events[3:]], discover()))
