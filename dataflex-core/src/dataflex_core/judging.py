"""Judging the pool without training: what is asked for, and what comes of several checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataflex_core.errors import InvalidConfig, RunFailed
from dataflex_core.score_file import PREFIX, SCORE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIGNALS = ("losses",)
"""What can be asked for instead of a selector."""
_MARK = ".dataflex-score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """Write to ``out`` what the pool is worth: to the run's selector, or by ``signal``, one of `SIGNALS`.

    ``checkpoints`` judge one after the other; none: the model that the configuration names does.
    """

    out: str
    checkpoints: tuple[str, ...] = ()
    signal: str | None = None

    @property
    def work(self) -> Path:
        """The folder of what is under way, which is gone when it is done."""
        return Path(f"{self.out}.partial")

    def check_work(self) -> None:
        """Raise `InvalidConfig` where something is in the place of `work` that no judging has left there."""
        work = self.work
        ours = work.is_dir() and ((work / _MARK).is_file() or not any(work.iterdir()))
        if os.path.lexists(work) and not ours:
            said = f"{work}, the place of what is under way, is there, and was not left by dataflex score"
            raise InvalidConfig(said, hint="name another file with -o, or move it away")

    def begin_work(self) -> None:
        """Make `work`, marked as one that may be removed. Raises as `check_work` does, and `RunFailed`."""
        self.check_work()
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            (self.work / _MARK).touch()
        except OSError as error:
            hint = "make room, or name another file with -o"
            raise RunFailed(f"{self.work} could not be written: {error.strerror}", hint=hint) from error

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"out": self.out, "checkpoints": list(self.checkpoints), "signal": self.signal}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Judging:
        """What `to_plain` made."""
        return cls(out=plain["out"], checkpoints=tuple(plain["checkpoints"]), signal=plain["signal"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The model that judges: that of ``checkpoint``, or None for the one that the configuration names.

    Its learning rate is the mean of those that were logged after step ``since``, where its predecessor stood.
    ``has_optimizer`` is whether the checkpoint has moments to ask for.
    """

    checkpoint: str | None = None
    since: int = 0
    has_optimizer: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What one model says of the pool: ``values`` Float32[N, K], NaN where it says nothing.

    ``names`` are those of the K columns; none where there is one. ``largest`` is whether the largest of a row is what
    the sample is worth, as with influence on several subtasks. ``step`` and ``learning_rate`` are where the model is.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...] = ()
    largest: bool = False
    step: int = 0
    learning_rate: float = 0.0

    def columns(self) -> dict[str, NDArray[np.float32]]:
        """Float32[N] by the column of a file of scores."""
        if not self.names:
            return {SCORE: self.values[:, 0]}
        single = {SCORE: self.values.max(axis=1)} if self.largest else {}
        return {**single, **{f"{PREFIX}{name}": self.values[:, k] for k, name in enumerate(self.names)}}


def averaged(judged: Sequence[Judged]) -> tuple[Judged, tuple[float, ...]]:
    """What several checkpoints say together, weighed by their learning rates, and the weights, of sum one.

    The largest of several columns is taken of their means: LESS (arXiv:2402.04333) sums over checkpoints, then takes
    the maximum over subtasks. Learning rates that are all zero weigh alike.
    """
    import numpy as np

    rates = np.array([one.learning_rate for one in judged], dtype=np.float64)
    weights = rates / rates.sum() if rates.sum() > 0 else np.full(len(judged), 1 / len(judged))
    mean = np.zeros(judged[0].values.shape)
    for one, weight in zip(judged, weights, strict=True):
        if weight > 0:
            mean += weight * one.values
    last = judged[-1]
    values = mean.astype(np.float32)
    made = Judged(values=values, names=last.names, largest=last.largest, step=last.step)
    return made, tuple(weights.tolist())


def mean_rate(history: Iterable[Mapping[str, Any]], rate: str, since: int, until: int) -> float | None:
    """The mean of what was logged as ``rate`` after step ``since``, up to ``until``; None where nothing was."""
    found = [float(entry[rate]) for entry in history if rate in entry and since < int(entry.get("step", 0)) <= until]
    return sum(found) / len(found) if found else None
