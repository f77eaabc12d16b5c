"""State: what survives a restart."""

from __future__ import annotations

from dataflex_core.testing.checks import check
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.plays import (
    Performance,
    Subject,
    difference,
    fitting_some,
    play,
    state_difference,
)
from dataflex_core.testing.scenes import Scene, everyday


@check()
def state_round_trips(subject: Subject) -> None:
    """State is JSON values and numpy arrays, and a strategy that has loaded it gives the same."""
    for scene in fitting_some(subject, everyday(subject.spec.kind)):
        (played,) = play(subject, scene, keep=True)
        for snapshot in (played.snapshots[0], played.snapshots[-1]):
            rest = Scene(name=scene.name, pool=scene.pool, turns=scene.turns[: snapshot.played])
            (loaded,) = play(subject, rest, start=snapshot)
            if told := state_difference(snapshot.state, loaded.state):
                raise CheckFailed(f"{scene.name}, saved and loaded: {told}")


@check()
def resumed_run_continues(subject: Subject) -> None:
    """A run that goes on from a checkpoint takes the decisions of the run that was never stopped, on 1 rank or 2."""
    for scene in fitting_some(subject, everyday(subject.spec.kind)):
        (whole,) = play(subject, scene)
        (saved,) = play(subject, scene, keep=True)
        if told := difference(whole.answers, saved.answers):
            raise CheckFailed(f"{scene.name}, without and with checkpoints, {told}; state_dict() must change nothing")
        for snapshot in saved.snapshots[:-1]:
            (resumed,) = play(subject, scene, start=snapshot)
            _compare(scene, whole, resumed, snapshot.played, exact=True)
        middle = saved.snapshots[len(saved.snapshots) // 2 - 1]
        _compare(scene, whole, play(subject, scene, ranks=2, start=middle)[0], middle.played, exact=False)


def _compare(scene: Scene, whole: Performance, resumed: Performance, played: int, *, exact: bool) -> None:
    told = difference(whole.answers[played:], resumed.answers, exact=exact)
    if told := told or state_difference(whole.state, resumed.state, exact=exact):
        raise CheckFailed(f"{scene.name}, resumed after {scene.turns[played - 1].title}, {told}")
