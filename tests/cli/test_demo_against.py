"""The demo beside random samples at equal work: how long the other run is, and what is told of both."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflex_cli.demo.against import decisions_for, outcome_of, tell
from dataflex_cli.demo.texts import TARGET_DOMAIN
from dataflex_core.journal import Decision, Evaluated, Start, Step, StrategyFact
from dataflex_core.journal.writer import Journal

pytestmark = pytest.mark.numeric


def left(output: Path, *, name: str, decisions: int, cost: float, losses: dict[int, float]) -> Path:
    """What a run of two samples a step leaves, of two domains; a decision every two steps after two of warm-up."""
    journal = Journal(output / "dataflex", owner=True, report=lambda event, past: None)
    steps = 2 + 2 * decisions
    journal.write(
        Start(
            run=journal.run,
            strategies=(StrategyFact(kind="selector", name=name, distribution="d", version="1"),),
            domains={TARGET_DOMAIN: 25, "classes": 75},
            targets={"target": 6},
            steps=steps,
            warmup_steps=2,
            update_steps=2,
            decisions=decisions,
            global_batch=2,
            ranks=1,
            judged=8,
            decision_cost=cost,
            step_cost=0.0,
            seed=0,
        )
    )
    asked = {"proportions": None, "judged": 8, "shortages": (), "plan": "", "seconds": 0.0}
    for step in range(1, steps + 1):
        if step % 2:
            chosen = {TARGET_DOMAIN: 3, "classes": 1}
            journal.write(
                Decision(decision=step // 2, step=step - 1, until=step + 1, chosen=chosen, cost=cost, **asked)
            )
        journal.write(Step(step=step, samples=(0, step)))
        if step in losses:
            journal.write(Evaluated(step=step, figures={"eval_held_out_loss": losses[step], "eval_target_loss": 1.0}))
    return output


def test_the_other_run_is_as_much_longer_as_deciding_cost(tmp_path, capsys):
    ours = left(tmp_path / "output", name="less", decisions=2, cost=5.0, losses={2: 8.0, 6: 4.0})
    assert decisions_for(ours) == 7, "six steps and two decisions of five: sixteen, two of them of warm-up"
    theirs = left(tmp_path / "output-random", name="random", decisions=7, cost=0.0, losses={2: 8.0, 8: 6.0, 16: 4.5})
    found = outcome_of(ours, theirs)
    assert (found.enrichment, found.work, found.ours, found.theirs) == (3.0, 16.0, 4.0, 4.5)
    tell(found, "random")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "DataFlex: signatures, the domain of target, was chosen 3.0 times as often as by chance"
    assert "4.000, and 4.500 with random: deciding paid, as far as one seed can tell" in told[1]
    assert told[2] == f"DataFlex: the report has both: {tmp_path / 'output' / 'dataflex' / 'report.html'}"


def test_runs_that_were_not_evaluated_are_told_as_such(tmp_path, capsys):
    runs = [left(tmp_path / name, name=name, decisions=2, cost=0.0, losses={}) for name in ("less", "random")]
    tell(outcome_of(*runs), "random")
    assert "the loss on held_out is not known of both at equal work" in capsys.readouterr().out
