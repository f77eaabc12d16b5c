"""State: what survives a restart."""

from __future__ import annotations

from dataclasses import replace

from dataflex_core.testing.checks import check
from dataflex_core.testing.compare import parting, state_difference
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.runner import Subject, Trace, fitting_some, run_scenario
from dataflex_core.testing.scenarios import Scenario, everyday, everyday_and_fresh


@check()
def state_round_trips(subject: Subject) -> None:
    """State is JSON values and numpy arrays, and a strategy that has loaded it gives the same."""
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        (trace,) = run_scenario(subject, scenario, keep=True)
        for snapshot in (*trace.snapshots, trace.last):
            rest = Scenario(name=scenario.name, pool=scenario.pool, steps=scenario.steps[: snapshot.done])
            (loaded,) = run_scenario(subject, rest, start=snapshot)
            if told := state_difference(snapshot.state, loaded.last.state):
                raise CheckFailed(f"{scenario.name}, saved and loaded: {told}")


@check()
def resumed_run_continues(subject: Subject) -> None:
    """A run that goes on from a checkpoint takes the decisions of the run that was never stopped, on 1 rank or 2."""
    for scenario in fitting_some(subject, everyday_and_fresh(subject.spec)):
        (whole,) = run_scenario(subject, scenario)
        (saved,) = run_scenario(subject, scenario, keep=True)
        if told := parting(whole, saved):
            raise CheckFailed(
                f"{scenario.name}, without and with checkpoints, {told}; state_dict() must change nothing"
            )
        for snapshot in saved.snapshots:
            (resumed,) = run_scenario(subject, scenario, start=snapshot)
            _compare(scenario, whole, resumed, snapshot.done, exact=True)
        middle = saved.snapshots[len(saved.snapshots) // 2]
        _compare(scenario, whole, run_scenario(subject, scenario, ranks=2, start=middle)[0], middle.done, exact=False)


def _compare(scenario: Scenario, whole: Trace, resumed: Trace, done: int, *, exact: bool) -> None:
    rest = replace(whole, answers=whole.answers[done:])
    if told := parting(rest, resumed, exact=exact):
        raise CheckFailed(f"{scenario.name}, resumed before {scenario.steps[done].title}, {told}")
