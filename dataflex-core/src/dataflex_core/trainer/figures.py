"""Figures to log: what strategies and the run had to say since the last log, one mean each."""

from __future__ import annotations

from collections.abc import Mapping


class Figures:
    """Collects named figures, and gives their means when the run logs: at one decision a step none is lost."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}

    def add(self, figures: Mapping[str, float]) -> None:
        """Add a value of each figure to its mean."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value)
            self._counts[name] = self._counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of each figure since the last `clear`."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}

    def clear(self) -> None:
        """Forget all figures."""
        self._sums, self._counts = {}, {}

    def state(self) -> dict[str, list[float]]:
        """For a checkpoint: sums and counts by name."""
        return {name: [total, self._counts[name]] for name, total in self._sums.items()}

    def load(self, state: Mapping[str, list[float]]) -> None:
        """Go on from `state`."""
        self._sums = {name: float(total) for name, (total, _) in state.items()}
        self._counts = {name: int(count) for name, (_, count) in state.items()}


def noted(slot: str, notes: Mapping[str, float]) -> dict[str, float]:
    """A strategy's notes under the names that trackers show: ``dataflex/<kind>/<name>``."""
    return {f"dataflex/{slot}/{name}": float(value) for name, value in notes.items()}
