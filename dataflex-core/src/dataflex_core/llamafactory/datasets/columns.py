"""The columns that a data set's entry maps, and its files do not have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.datasets.entry import Entry
from dataflex_core.llamafactory.datasets.places import lists_no_objects
from dataflex_core.llamafactory.datasets.wrong import Wrong, kind_of
from dataflex_core.wording import did_you_mean

_MARKS = ";\t|"


def missing_columns(entry: Entry, file: Path, table: Any) -> Iterator[Wrong]:
    """What of ``entry`` is not in an arrow table with a row or more, the first rows of ``file``.

    A column that is probably misspelt is told by itself, with the name that was meant; the others together.
    """
    names = table.column_names
    lacking = {role: str(entry.column(role)) for role in entry.read_always if entry.column(role) not in names}
    if not lacking:
        return
    if lists_no_objects(file):
        said = f"the row is {kind_of(table[0][0].as_py())}, not an object"
        yield Wrong(kind="row", said=said, hint="write an object of columns", file=str(file), row=1)
        return
    if file.suffix == ".csv" and len(names) == 1 and any(mark in names[0] for mark in _MARKS):
        hint = "write a comma between columns: LLaMA-Factory reads no other mark"
        yield _absent(lacking, names, file, hint)
        return
    near = {role: did_you_mean(name, names) for role, name in lacking.items()}
    misspelt = [role for role, hint in near.items() if hint.startswith("did you mean")]
    if others := {role: name for role, name in lacking.items() if role not in misspelt}:
        yield _absent(others, names, file, f"set {', '.join(others)} in columns of dataset_info.json")
    for role in misspelt:
        hint = f"{near[role]} set {role} in columns of dataset_info.json"
        yield _absent({role: lacking[role]}, names, file, hint)


def _absent(lacking: Mapping[str, str], names: Sequence[str], file: Path, hint: str) -> Wrong:
    columns, roles = ", ".join(map(repr, lacking.values())), ", ".join(lacking)
    are, s = ("are", "s") if len(lacking) > 1 else ("is", "")
    said = f"column{s} {columns}, which {roles} {are} read from, {are} not there: the columns are {', '.join(names)}"
    return Wrong(kind=f"no {roles}", said=said, hint=hint, file=str(file))
