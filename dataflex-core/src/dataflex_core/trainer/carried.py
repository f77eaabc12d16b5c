"""What a checkpoint carries of a run beside the model's own files: this list, and digests of the weights.

Values are JSON and numpy arrays, the same on every rank. `dataflex_core.trainer.checkpoint_files` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataflex_core.planning.schedule import Interval
from dataflex_core.trainer.checkpoint_files import writable

if TYPE_CHECKING:
    from dataflex_core.trainer.base import FlexTrainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """One entry: how it is taken from a trainer, and how it is put back, None where it only tells of the checkpoint.

    ``is_alive`` is whether what is taken may be changed by what the run does next, and has to be copied to be held.
    """

    name: str
    take: Callable[[FlexTrainer], Any]
    put: Callable[[FlexTrainer, Any], None] | None = None
    is_alive: bool = False


def _put_strategies(trainer: FlexTrainer, states: Mapping[str, Any]) -> None:
    """A strategy that is another one than at that slot in the checkpoint starts afresh; so do all, of other data."""
    assert trainer.run.resumed is not None
    if "data" in trainer.run.changed:
        trainer.run.journal.notice("the data is another: strategies begin anew, with a new interval")
        return
    before, now = trainer.run.resumed["provenance"]["strategies"], trainer.run.provenance()["strategies"]
    for slot, strategy in trainer.run.strategies.items():
        if before.get(str(slot)) == now[str(slot)]:
            with trainer.run.asking(f"taking up its state of step {trainer.state.global_step}", slot):
                strategy.load_state_dict(states[str(slot)])
        else:
            trainer.begins_afresh(slot)


def _states(trainer: FlexTrainer) -> dict[str, Any]:
    states = {}
    for slot, strategy in trainer.run.strategies.items():
        with trainer.run.asking(f"step {trainer.state.global_step}, giving its state", slot):
            states[str(slot)] = writable(strategy.state_dict())
    return states


def _interval(trainer: FlexTrainer) -> list[int] | None:
    interval = trainer.interval
    return None if interval is None else [interval.decision, interval.start, interval.stop]


def _put_interval(trainer: FlexTrainer, value: list[int] | None) -> None:
    if value is not None and "data" not in trainer.run.changed:
        trainer.interval = Interval(decision=value[0], start=value[1], stop=value[2])


def _put_planner(trainer: FlexTrainer, state: Mapping[str, Any] | None) -> None:
    # What was planned of other data is of other samples: the next step then begins an interval.
    if "data" not in trainer.run.changed:
        trainer.take_up_plan(state)


def _put_signals(trainer: FlexTrainer, state: Mapping[str, Any]) -> None:
    if "data" not in trainer.run.changed:  # directions are of a target set
        trainer.take_up_signals(state)


def _put_since_log(trainer: FlexTrainer, state: Mapping[str, Any]) -> None:
    if "data" not in trainer.run.changed:  # what other domains were trained on is not told of these
        trainer.since_log.load(state)


CARRIED = (
    Carried(name="step", take=lambda trainer: trainer.state.global_step),
    Carried(name="run", take=lambda trainer: trainer.run.journal.run),
    Carried(name="journal", take=lambda trainer: trainer.run.journal.size()),
    Carried(name="scores", take=lambda trainer: trainer.run.scores.position()),
    Carried(name="provenance", take=lambda trainer: trainer.run.provenance()),
    Carried(
        name="figures",
        take=lambda trainer: trainer.figures.state(),
        put=lambda trainer, state: trainer.figures.load(state),
        is_alive=True,
    ),
    Carried(
        name="since_log",
        take=lambda trainer: trainer.since_log.state(),
        put=_put_since_log,
    ),
    Carried(
        name="strategies",
        take=_states,
        put=_put_strategies,
        is_alive=True,
    ),
    Carried(name="interval", take=_interval, put=_put_interval),
    Carried(name="planner", take=lambda trainer: trainer.planner_state(), put=_put_planner),
    Carried(name="signals", take=lambda trainer: trainer.signal_state(), put=_put_signals),
    Carried(
        name="stopped",
        take=lambda trainer: trainer.is_stopped(),
        put=lambda trainer, value: setattr(trainer, "stopped", bool(value)),
    ),
)


def state_of(trainer: FlexTrainer) -> dict[str, Any]:
    """All of the list, as it is between two steps."""
    return {entry.name: entry.take(trainer) for entry in CARRIED}


def held(trainer: FlexTrainer) -> dict[str, Any]:
    """The same, as it is now whatever the run does next: copied is only what that may change."""
    return {entry.name: deepcopy(entry.take(trainer)) if entry.is_alive else entry.take(trainer) for entry in CARRIED}


def take_up(trainer: FlexTrainer, state: Mapping[str, Any]) -> None:
    """Go on from what `state_of` gave, in the order of the list."""
    for entry in CARRIED:
        if entry.put is not None and entry.name in state:  # what was added to the list since
            entry.put(trainer, state[entry.name])
