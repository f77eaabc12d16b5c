"""A look into the files of a configuration's data sets: all that is wrong there, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.args import Args
from dataflex_core.llamafactory.datasets.columns import missing_columns
from dataflex_core.llamafactory.datasets.entry import Entry
from dataflex_core.llamafactory.datasets.index import Named, examine_index
from dataflex_core.llamafactory.datasets.places import line_of_row
from dataflex_core.llamafactory.datasets.read import cut_of, read_of
from dataflex_core.llamafactory.datasets.rows import Use, row_fault
from dataflex_core.llamafactory.datasets.suspects import suspects
from dataflex_core.llamafactory.datasets.tables import Piece, TooLarge, pieces
from dataflex_core.llamafactory.datasets.templates import template_of
from dataflex_core.llamafactory.datasets.wrong import Unreadable, Wrong, like_it
from dataflex_core.llamafactory.written import is_on, whole_number

EXAMINED = 100_000
"""The most rows of a data set that are looked at one by one; columns as a whole are looked at to the end."""

TOLD = 20
"""The most kinds of fault that are told of a data set."""


Mistake: type[Exception] | tuple[()] = Exception
"""What the look itself does wrong never ends a run: the loading will tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What ends a run, and what LLaMA-Factory passes over: rows that it leaves out.

    ``sound`` are the data sets that lie here and have no fault that a look can find.
    """

    faults: tuple[DataError, ...] = ()
    notices: tuple[DataError, ...] = ()
    sound: tuple[Named, ...] = ()


def look(args: Args, *, each: bool = False) -> Findings:
    """What is wrong with the rows of the data sets whose entries are sound.

    Each data set has to have a row that trains where ``each`` is set, else one of them. Reads every file once, in
    pieces; a JSON list beyond `json_tables.WHOLE` bytes, an archive, and what lies elsewhere are left to the loading.
    """
    named, _, of_index = examine_index(args)
    notices = list(of_index)
    looked: dict[str, list[_Look]] = {}
    faults: list[DataError] = []
    sound: list[Named] = []
    for one in named:
        if one.files is None or one.files.packed or one.entry is None:
            looked.setdefault(one.key, []).append(_Look(named=one, incomplete=True))
            continue
        looked.setdefault(one.key, []).append(_into(one, one.entry, args))
    for several in looked.values():
        nothing = all(seen.empty for seen in several)
        for seen in several:
            found = seen.findings(needed=each or nothing)
            faults += found.faults
            notices += found.notices
            if seen.named.files is not None and not found.faults:
                sound.append(seen.named)
    return Findings(faults=tuple(faults), notices=tuple(notices), sound=tuple(sound))


@dataclass(slots=True)
class _Look:
    """What is found in one data set; of each kind of fault the first, and how many."""

    named: Named
    rows: int = 0
    examined: int = 0
    incomplete: bool = False
    first: dict[tuple[str, bool], Wrong] = field(default_factory=dict)
    counts: dict[tuple[str, bool], int] = field(default_factory=dict)

    def add(self, wrong: Wrong) -> None:
        """One more."""
        kind = (wrong.kind, wrong.ends)
        self.first.setdefault(kind, wrong)
        self.counts[kind] = self.counts.get(kind, 0) + 1

    @property
    def dropped(self) -> int:
        """How many rows are left out."""
        return sum(count for (_, ends), count in self.counts.items() if not ends)

    @property
    def empty(self) -> bool:
        """Whether every row is left out."""
        return not self.incomplete and 0 < self.rows <= self.dropped

    def findings(self, *, needed: bool) -> Findings:
        """All of it; ``needed`` is whether the run ends without a row of this data set."""
        faults = [self._error(kind) for kind in self.first if kind[1]]
        notices = [self._error(kind) for kind in self.first if not kind[1]]
        if self.empty and needed:
            wrong = _with_line(next(iter(self.first.values())))
            which = "its only row is left out" if self.rows == 1 else f"all {self.rows:,} rows are left out, the first"
            said = f"it has no sample left: {which} because {wrong.said}"
            faults.append(self.named.error(replace(wrong, said=said, ends=True)))
            notices = []
        return Findings(faults=tuple(faults[:TOLD]), notices=tuple(notices[:TOLD]))

    def _error(self, kind: tuple[str, bool]) -> DataError:
        return self.named.error(_with_line(self.first[kind]), like_it(self.counts[kind] - 1))


def _with_line(wrong: Wrong) -> Wrong:
    if wrong.line is not None or wrong.row is None or wrong.file is None:
        return wrong
    return replace(wrong, line=line_of_row(Path(wrong.file), wrong.row - 1))


def _into(one: Named, entry: Entry, args: Args) -> _Look:
    found = _Look(named=one)
    use = _use(one, args)
    limit, streamed = _limit(args), is_on(args.get("streaming"))
    cut = cut_of(entry, limit, streamed=streamed)
    placed: list[tuple[int, Wrong]] = []
    columns: frozenset[str] | None = None
    missing = False
    assert one.files is not None
    try:
        for piece in pieces(one.files):
            if columns is None and piece.table.num_rows:
                columns = frozenset(piece.table.column_names)
                for wrong in missing_columns(entry, piece.file, piece.table):
                    found.add(wrong)
                    missing = True
            before, found.rows = found.rows, found.rows + piece.table.num_rows
            if not missing:
                examined = _examine(piece, entry, use, found, None if cut is None else cut - before)
                placed += [(before + index, wrong) for index, wrong in examined]
    except Unreadable as error:
        for wrong in error.wrong:
            found.add(wrong)
        found.incomplete = True
    except TooLarge:
        found.incomplete = True
    except Mistake:
        found.incomplete = True
    if found.rows == 0 and not found.incomplete:
        found.add(Wrong(kind="empty", said="it has no rows", hint="write some", file=str(one.files.paths[0])))
    try:
        read = read_of(entry, found.rows, limit, streamed=streamed, counted=not found.incomplete)
    except ValueError:  # which rows are meant is not known: the loading will tell
        found.incomplete = True
        return found
    for place, wrong in placed:
        if read.has(place):
            found.add(wrong if read.certain else _perhaps(wrong))
    found.rows = read.rows
    return found


def _perhaps(wrong: Wrong) -> Wrong:
    """Of a row that may be drawn, or not."""
    if not wrong.ends:
        return wrong
    return replace(wrong, said=f"{wrong.said}, which ends the run where num_samples draws it", ends=False)


def _use(one: Named, args: Args) -> Use:
    template = template_of(args.get("template"), args.get("tool_format"))
    generates = one.key == "eval_dataset" and is_on(args.get("predict_with_generate"))
    folder = Path(str(args.get("media_dir") or args.get("dataset_dir", "data")))
    return Use.of(args.get("stage", "sft"), template, folder, generates=generates)


def _limit(args: Args) -> int | None:
    given: Any = args.get("max_samples")
    return None if given is None else whole_number(given, "max_samples")


def _examine(piece: Piece, entry: Entry, use: Use, found: _Look, left: int | None) -> Iterator[tuple[int, Wrong]]:
    """What is wrong with which rows, by their place in the piece; only the first ``left`` are looked at."""
    table = piece.table
    if left is not None and left < table.num_rows:
        table = table.slice(0, max(0, left))
    doubtful = suspects(table, entry, use)[: EXAMINED - found.examined]
    found.examined += len(doubtful)
    names = [name for name in dict.fromkeys(entry.columns.values()) if name in table.column_names]
    for index, row in zip(doubtful.tolist(), table.select(names).take(doubtful).to_pylist(), strict=True):
        fault = row_fault(row, entry, use)
        if fault is not None:
            place = piece.start + index
            line = piece.lines[index] if piece.lines else None
            number = None if piece.lines else place + 1
            yield index, replace(fault, file=str(piece.file), row=number, line=line)
