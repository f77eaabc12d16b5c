"""The scores of what decisions judged, beside the journal: ``output_dir/dataflex/scores/RUN-NUMBER.arrows``.

Each file is an Arrow stream of columns ``decision``, ``step``, ``id``, ``score``, ``chosen`` and ``stands_for``, which
pyarrow, pandas and polars read as it is. A decision appends to the last file; one that has grown large is followed by
another.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.journal.reader import run_of
from dataflex_core.wording import one_line

Ids = NDArray[np.int64]

FOLDER = "scores"
_SUFFIX = ".arrows"
_FILE = 1 << 26  # bytes after which a file is followed by another
_MOST = 10**6  # samples of a decision that are all written
_KEPT = 10**5  # of those that were not chosen, where more were judged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecisionScores:
    """Decision ``decision`` judged samples ``ids`` Int64[n], and gave them ``scores`` Float32[n] or [n, K].

    It was taken after ``step``, which tells it from others of that number, as there are where the schedule has changed
    or an interval was decided anew; None in files of before that do not say so.

    ``chosen`` Int64[n] is how often each stands in the plan, 0 where it was passed over. ``stands_for`` Float64[n] is
    one each where all that was judged is here. Of more than a million all chosen samples are, and of the others a
    hundred thousand, evenly spaced by rank: each stands for as many as lie between it and the next.

    ``of_all`` is False where a selector that does not score samples one by one said something of its choice: of what
    else was judged there are no scores. It is known of a run (`scores_of`), and not of files alone.
    """

    decision: int
    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    chosen: NDArray[np.int64]
    stands_for: NDArray[np.float64]
    of_all: bool = True
    step: int | None = None


def read_scores(folder: Path, run: str | None = None) -> Iterator[DecisionScores]:
    """The scores of the run whose ``journal.jsonl`` lies in ``folder``, or of ``run``, decision by decision, in order.

    A decision that was taken again is given once, as it was taken last. What a killed run left of its last decision is
    passed over. Nothing where the run has written none. Raises `DataError` for a file that is none of scores, and as
    `read_journal` does.
    """
    journal = folder / "journal.jsonl"
    if run is None:
        run = run_of(journal) if journal.is_file() else None
    paths = [] if run is None else _files(folder / FOLDER, run)
    # They are read twice, as they do not all fit into memory.
    last = {which: place for place, which in enumerate(_which(batch) for path in paths for batch in _read(path))}
    for place, batch in enumerate(batch for path in paths for batch in _read(path)):
        if last.get(_which(batch), place) == place:
            yield _decision(batch)


class ScoreFiles:
    """Writes scores on the rank that owns it, where ``folder`` is not None. ``run`` names the run that they are of.

    Scores that cannot be written are told once, and then none are: they are no reason to end a run.
    """

    def __init__(self, folder: Path | None, *, run: Callable[[], str], notice: Callable[[str], None]) -> None:
        self._folder = None if folder is None else folder / FOLDER
        self._run, self._notice = run, notice
        self._number, self._size = -1, 0
        self._shape: tuple[int, ...] = ()

    def write(self, decision: int, ids: Ids, scores: NDArray[np.float32], plan: Ids, *, step: int) -> None:
        """Append the scores Float32[n] or [n, K] of samples ``ids`` Int64[n], of which ``plan`` was made.

        That was after ``step`` optimizer steps.
        """
        if self._folder is None or not len(ids):
            return
        batch = _batch(decision, step, *_bounded(ids, scores, _times(ids, plan), seed=decision))
        data = batch.serialize().to_pybytes()
        if self._number < 0 or self._size >= _FILE or self._shape != scores.shape[1:]:
            data = batch.schema.serialize().to_pybytes() + data
            self._number, self._size, self._shape = self._number + 1, 0, scores.shape[1:]
        self._append(self._path(self._number), data)

    def position(self) -> list[int]:
        """Number and size of the last file: where a run goes on that goes on from here."""
        return [self._number, self._size]

    def go_on(self, source: Path, position: list[int]) -> None:
        """Keep what a run that wrote to ``source``, a folder of scores, had written at ``position``; drop the rest.

        Called once `run` names that run. What is written next begins a file.
        """
        if self._folder is None:
            return
        number, size = position
        for path in _files(source, self._run()):
            kept, found = self._folder / path.name, _number(path)
            if found > number:
                if kept.exists():
                    kept.unlink()
                continue
            if kept != path:
                self._folder.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, kept)
            if found == number and kept.stat().st_size > size:
                os.truncate(kept, size)
        self._number, self._size = number, _FILE

    def _path(self, number: int) -> Path:
        assert self._folder is not None, "scores are written"
        return self._folder / f"{self._run()}-{number:05d}{_SUFFIX}"

    def _append(self, path: Path, data: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb" if self._size == 0 else "ab") as file:
                file.write(data)
            self._size += len(data)
        except OSError as error:
            with suppress(OSError):
                os.truncate(path, self._size)  # a part of it may have found room
            self._notice(f"{path} could not be written ({error.strerror or one_line(error)}): no more scores are kept")
            self._folder = None


def _times(ids: NDArray[np.int64], plan: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each of ``ids`` stands in ``plan``, Int64[n]."""
    found, counts = np.unique(plan, return_counts=True)
    places = np.minimum(np.searchsorted(found, ids), len(found) - 1)
    times: NDArray[np.int64] = np.where(found[places] == ids, counts[places], 0)
    return times


def _bounded(
    ids: NDArray[np.int64], scores: NDArray[np.float32], chosen: NDArray[np.int64], *, seed: int
) -> tuple[NDArray[Any], ...]:
    """These, and what each stands for: of too many that were not chosen those at even ranks, from a random one on."""
    if len(ids) <= _MOST:
        return ids, scores, chosen, np.ones(len(ids))
    others = np.flatnonzero(chosen == 0)
    ranked = others[np.argsort(scores[others] if scores.ndim == 1 else scores[others].max(axis=1), kind="stable")]
    count = min(_KEPT, len(ranked))
    step = len(ranked) / max(count, 1)
    taken = ranked[((np.arange(count) + np.random.default_rng(seed).random()) * step).astype(np.int64)]
    kept = np.sort(np.concatenate([np.flatnonzero(chosen), taken]))
    return ids[kept], scores[kept], chosen[kept], np.where(chosen[kept] > 0, 1.0, step)


def _batch(decision: int, step: int, ids: Any, scores: Any, chosen: Any, stands_for: Any) -> Any:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(scores, dtype=np.float32).reshape(-1))
    columns = {
        "decision": pa.array(np.full(len(ids), decision, dtype=np.int32)),
        "step": pa.array(np.full(len(ids), step, dtype=np.int64)),
        "id": pa.array(ids.astype(np.int64)),
        "score": flat if scores.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, scores.shape[1]),
        "chosen": pa.array(chosen.astype(np.int32)),
        "stands_for": pa.array(stands_for.astype(np.float32)),
    }
    return pa.record_batch(list(columns.values()), names=list(columns))


def _read(path: Path) -> Iterator[Any]:
    import pyarrow as pa

    with path.open("rb") as file:
        try:
            stream = pa.ipc.open_stream(file)
            if "stands_for" not in stream.schema.names:
                raise DataError(f"{path} is no file of scores", hint="the file was changed, or is another's")
        except (pa.ArrowInvalid, OSError):
            return  # torn before its first decision
        while True:
            try:
                batch = stream.read_next_batch()
            except (StopIteration, pa.ArrowInvalid, OSError):
                return
            yield batch


def _which(batch: Any) -> tuple[int, int | None]:
    """Number and step of a decision."""
    step = int(batch["step"][0].as_py()) if "step" in batch.schema.names else None
    return int(batch["decision"][0].as_py()), step


def _decision(batch: Any) -> DecisionScores:
    scores, rows = batch["score"], batch.num_rows
    nested = hasattr(scores, "flatten") and scores.type.num_fields > 0
    values = (scores.flatten() if nested else scores).to_numpy(zero_copy_only=False).astype(np.float32)
    number, step = _which(batch)
    return DecisionScores(
        decision=number,
        step=step,
        ids=batch["id"].to_numpy().astype(np.int64),
        scores=values.reshape(rows, -1) if nested else values,
        chosen=batch["chosen"].to_numpy().astype(np.int64),
        stands_for=batch["stands_for"].to_numpy().astype(np.float64),
    )


def _files(folder: Path, run: str) -> list[Path]:
    return sorted(folder.glob(f"{run}-*{_SUFFIX}"))


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])
