"""Which samples of a run, or of a file of scores, somebody asks for, and the rows that they were made of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from dataflex_core import top
from dataflex_core.errors import DataError
from dataflex_core.journal import Run, open_run
from dataflex_core.journal.kept import scores_of
from dataflex_core.pool_rows import rows_file
from dataflex_core.score_file import PLACE, SCORE, ScoreFile, open_scores

Ids = NDArray[np.int64]
_LONGEST = 40  # characters of an amount: Python reads no numbers of thousands of digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """A number of samples, or a share of all of them."""

    share: Fraction | None = None
    count: int = 0

    def of(self, total: int) -> int:
        """How many of ``total``: of a share at least one."""
        return min(total, self.count if self.share is None else max(1, math.ceil(self.share * total)))


def amount(ctx: click.Context, param: click.Parameter, value: str | None) -> Amount | None:
    """A callback of an option: ``5%`` or ``100``. Raises `BadParameter` for what is neither, and for none."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", value.strip()) if len(value) <= _LONGEST else None
    if match and match[2] and 0 < Fraction(match[1]) <= 100:
        return Amount(share=Fraction(match[1]) / 100)
    if match and not match[2] and match[1].isdecimal() and int(match[1]) > 0:
        return Amount(count=int(match[1]))
    told = repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}…"
    raise click.BadParameter(f"{told} is neither a share, as 5%, nor a number of samples", ctx, param)


def best_of(file: ScoreFile, asked: Amount, by: str = SCORE) -> Ids:
    """The ids with the highest values of a column, best first; ties by lower id. Raises `DataError`.

    Of samples that are several lines the first counts: all have one score.
    """
    if by == SCORE and SCORE not in file.columns and any(name.startswith(SCORE) for name in file.columns):
        own = ", ".join(name for name in file.columns if name.startswith(SCORE))
        raise DataError(f"{file.path} has several scores, and none of them all", hint=f"choose one by --by: {own}")
    found = file.read(["id", by])
    if found["id"].dtype.kind not in "iu":
        raise DataError(f"the column id of {file.path} has places without a number", hint="give each sample its own")
    ids, first = np.unique(found["id"], return_index=True)
    if found[by].dtype.kind not in "fiub":
        raise DataError(f"the column {by} of {file.path} holds no numbers", hint="name another column")
    best = top(ids, found[by][first].astype(np.float64), asked.of(len(ids)))
    if len(best) == 0:
        raise DataError(f"no sample of {file.path} has a number in the column {by}", hint="name another column")
    return best


def best_of_run(run: Run, asked: Amount) -> Ids:
    """The ids with the highest scores of the last decision, best first. Raises `DataError` where there are none."""
    last = None
    for last in scores_of(run):  # noqa: B007  # the last one is meant
        pass
    if last is None or last.scores.ndim != 1:
        why = "has no scores" if last is None else "has several scores for each sample"
        hint = "export what it --chosen, or let dataflex score judge with its checkpoint"
        raise DataError(f"{run.path.parent.parent} {why}", hint=hint)
    if (last.stands_for > 1).any():
        of = round(float(last.stands_for.sum()))
        said = f"{run.path.parent.parent} has kept scores of {len(last.ids)} of the {of} samples that it judged"
        raise DataError(f"{said} last: the best may be others", hint="let dataflex score judge with its checkpoint")
    if not last.of_all and asked.share is not None:
        said = f"{run.path.parent.parent} has scores of what it chose alone, so that shares of them say nothing"
        raise DataError(said, hint="export what it --chosen, or a number of the best of that: --top 100")
    return top(last.ids, last.scores, asked.of(len(last.ids)))


def chosen_by(run: Run) -> Ids:
    """The ids that a run has trained on after its warm-up, each once, ascending. Raises `DataError` for none."""
    trained = [run.samples_of(decision) for decision in run.decisions if decision.decision > 0]
    if not any(decision.decision > 0 for decision in run.decisions):
        trained = [] if run.start.warmup_steps and run.decisions else [run.samples]
    ids = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *(np.asarray(part) for part in trained)]))
    if len(ids) == 0:
        raise DataError(f"{run.path.parent.parent} has trained on nothing that it chose yet", hint="let it go on")
    return ids.astype(np.int64)


def rows_of_run(run: Run) -> ScoreFile:
    """The rows of a run's pool, the one that it has now. Raises `DataError` where it kept none, or those of another."""
    file = rows_file(run.path.parent, run.start.run)
    if not file.is_file():
        hint = "a run keeps them with dataflex.keep.scores: true, of data that DataFlex has seen tokenised"
        raise DataError(f"{run.path.parent.parent} does not say which rows its samples are of", hint=hint)
    opened = open_scores(file)
    if run.changed_data_at is not None:
        of = len(np.unique(opened.read(["id"])["id"]))
        if of != sum(run.on_its_data.start.domains.values()):
            said = f"{run.path.parent.parent} went on with other data, and kept the rows of what it had before alone"
            raise DataError(said, hint="a run keeps rows with dataflex.keep.scores: true")
    return opened


def open_source(source: Path) -> Run | ScoreFile:
    """A file of scores, or the run of an output folder, on the data that it has now. Raises `DataError` for neither."""
    return open_scores(source) if source.is_file() and source.suffix != ".jsonl" else open_run(source).on_its_data


def rows_by_file(file: ScoreFile, ids: Ids) -> dict[str, dict[str, list[int]]]:
    """Numbers of the rows that samples are made of, ascending, each once, by data set and file, as these come.

    Raises `DataError` where nobody knows the rows of one.
    """
    wanted: dict[str, dict[str, set[int]]] = {}
    for _, dataset, name, row in _lines(file, ids):
        if name is None:
            raise DataError(
                f"{file.path} does not say which rows its samples are of",
                hint="tokenise the data anew: what DataFlex has seen tokenised, it knows",
            )
        if dataset is None or row is None or not row >= 1:  # NaN is a row that is missing
            said = f"{file.path} has a sample of which it names the file, {name}, alone"
            raise DataError(said, hint="name the data set as well, and the row, the first of which is 1")
        wanted.setdefault(dataset, {}).setdefault(name, set()).add(int(row))
    return {data: {name: sorted(rows) for name, rows in files.items()} for data, files in wanted.items()}


def places_of(file: ScoreFile, ids: Sequence[int]) -> dict[int, tuple[str | None, str | None, int | None]]:
    """Data set, file and number of the first row of each sample, None where nobody knows it."""
    found: dict[int, tuple[str | None, str | None, int | None]] = {}
    for sample, *place in _lines(file, np.asarray(ids, dtype=np.int64)):
        found.setdefault(sample, (place[0], place[1], place[2]))
    return found


def found_files(folder: Path, files: Mapping[str, list[int]]) -> list[tuple[Path, list[int]]]:
    """Where files are, with the rows of each that are wanted. Raises `DataError` where one is gone."""
    found = []
    for name, rows in files.items():
        path = present(folder, name)
        if path is None:
            hint = "put it where it was, or export rows of files only: rows of a hub are not here"
            raise DataError(f"{name} is not there", hint=hint)
        found.append((path, rows))
    return found


def present(folder: Path, name: str) -> Path | None:
    """Where a file of rows is: where it was read, or in the folder of its index; None where it is gone."""
    return next((place for place in (Path(name), folder / Path(name).name) if place.is_file()), None)


def _lines(file: ScoreFile, ids: Ids) -> Iterator[tuple[Any, ...]]:
    for batch in file.batches(["id", *PLACE]):
        for place in np.flatnonzero(np.isin(batch["id"], ids)).tolist():
            yield batch["id"][place], *(batch[name][place] for name in PLACE)
