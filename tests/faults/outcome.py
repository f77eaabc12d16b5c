"""What a run came to: what it decided, trained on, logged and learnt."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from support import journalled, weights

# What the clock says, and what transformers sums up of one process only.
_CLOCK = ("_runtime", "_per_second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What must be the same of a run that was killed and of one that was not."""

    decisions: list[dict[str, Any]]
    steps: list[tuple[int, tuple[int, ...]]]
    logs: list[dict[str, Any]]
    weights: dict[str, str]

    def differences(self, other: Outcome) -> list[str]:
        """In what ``other`` is not the same, a line each."""
        told = []
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine == theirs:
                continue
            pairs = enumerate(zip(mine, theirs, strict=False)) if isinstance(mine, list) else ()
            first = next((f": first {a} and {b}" for _, (a, b) in pairs if a != b), "")
            told.append(f"{name} differ ({len(mine)} and {len(theirs)}){first}")
        return told


def outcome(output: Path) -> Outcome:
    """Read it from a finished run's folder. Raises AssertionError where the journal does not read as one run."""
    import json

    events = journalled(output)
    kinds = [event["event"] for event in events]
    assert kinds[0] == "start", "the journal begins with the start"
    assert kinds.count("start") == 1, "one start"
    assert kinds.count("end") == 1, "one end"
    assert set(kinds[kinds.index("end") + 1 :]) <= {"evaluated"}, "and nothing after it but evaluations"
    steps = [(event["step"], tuple(event["samples"])) for event in events if event["event"] == "step"]
    assert [number for number, _ in steps] == list(range(1, len(steps) + 1)), "every step once, in order"
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return Outcome(
        # How long a decision took says nothing; what learning rate it stood at, the logs tell.
        decisions=[
            {key: value for key, value in event.items() if key not in ("seconds", "signal_seconds", "learning_rate")}
            for event in events
            if event["event"] == "decision"
        ],
        steps=steps,
        logs=[
            {key: value for key, value in row.items() if not key.endswith(_CLOCK)}
            for row in history
            if "train_runtime" not in row
        ],
        weights={
            name: sha256(tensor.contiguous().numpy().tobytes()).hexdigest() for name, tensor in weights(output).items()
        },
    )
