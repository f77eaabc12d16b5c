"""State: what survives a restart."""

from __future__ import annotations

from dataclasses import replace

from dataflex_core.testing.checks import check
from dataflex_core.testing.compare import parting, state_difference
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.plays import Performance, Subject, fitting_some, play
from dataflex_core.testing.scenes import Scene, everyday


@check()
def state_round_trips(subject: Subject) -> None:
    """State is JSON values and numpy arrays, and a strategy that has loaded it gives the same."""
    for scene in fitting_some(subject, everyday(subject.spec.kind)):
        (played,) = play(subject, scene, keep=True)
        for snapshot in (*played.snapshots, played.last):
            rest = Scene(name=scene.name, pool=scene.pool, turns=scene.turns[: snapshot.played])
            (loaded,) = play(subject, rest, start=snapshot)
            if told := state_difference(snapshot.state, loaded.last.state):
                raise CheckFailed(f"{scene.name}, saved and loaded: {told}")


@check()
def resumed_run_continues(subject: Subject) -> None:
    """A run that goes on from a checkpoint takes the decisions of the run that was never stopped, on 1 rank or 2."""
    for scene in fitting_some(subject, everyday(subject.spec.kind)):
        (whole,) = play(subject, scene)
        (saved,) = play(subject, scene, keep=True)
        if told := parting(whole, saved):
            raise CheckFailed(f"{scene.name}, without and with checkpoints, {told}; state_dict() must change nothing")
        for snapshot in saved.snapshots:
            (resumed,) = play(subject, scene, start=snapshot)
            _compare(scene, whole, resumed, snapshot.played, exact=True)
        middle = saved.snapshots[len(saved.snapshots) // 2]
        _compare(scene, whole, play(subject, scene, ranks=2, start=middle)[0], middle.played, exact=False)


def _compare(scene: Scene, whole: Performance, resumed: Performance, played: int, *, exact: bool) -> None:
    rest = replace(whole, answers=whole.answers[played:])
    if told := parting(rest, resumed, exact=exact):
        raise CheckFailed(f"{scene.name}, resumed before {scene.turns[played].title}, {told}")
