"""The files of a data set, in the order in which they are read, and what they are by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path

from dataflex_core.llamafactory.datasets.wrong import Wrong
from dataflex_core.wording import did_you_mean

TYPES = {"arrow": "arrow", "csv": "csv", "json": "json", "jsonl": "json", "parquet": "parquet", "txt": "text"}
"""By a name's ending: the reader that is used."""

_ARCHIVES = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """Files of one type. ``packed`` is whether one of them is an archive, which is unpacked when it is loaded."""

    paths: Sequence[Path]
    type: str
    packed: bool = False


def files_of(place: Path) -> tuple[Files | None, list[Wrong]]:
    """The files of a data set that is said to lie at ``place``, a file or a folder of them, and what is wrong."""
    if not _is_there(place):
        return None, [_missing(place)]
    # In the folder's own order, which is LLaMA-Factory's: the first file decides about the columns.
    paths = [place / name for name in os.listdir(place)] if place.is_dir() else [place]
    if not paths:
        return None, [Wrong(kind="empty", said=f"the folder {place} is empty", hint="put the data's files there")]
    known, wrong = {path: TYPES.get(path.suffix[1:]) for path in paths}, []
    wrong += [_missing(path) for path in paths if not _is_there(path)]
    wrong += [found for path in paths if (found := _taken_for_pattern(path)) is not None]
    strange = [path for path, kind in known.items() if kind is None or path.is_dir()]
    for path in strange:
        said = f"{path} is a folder" if path.is_dir() else f"{path} is of no type that LLaMA-Factory reads"
        hint = f"move it elsewhere, or write one of {', '.join(sorted(TYPES))}"
        wrong.append(Wrong(kind="type", said=said, hint=hint))
    kinds = {kind for path, kind in known.items() if path not in strange}
    if len(kinds) > 1:
        said = f"{place} holds files of several types: {', '.join(sorted(map(str, kinds)))}"
        wrong.append(Wrong(kind="types", said=said, hint="keep one type to a folder"))
    if wrong:
        return None, wrong
    return Files(paths=paths, type=str(kinds.pop()), packed=any(map(_is_packed, paths))), []


def _is_there(path: Path) -> bool:
    """Whether it is a file or a folder: LLaMA-Factory takes nothing else, and a pipe would never end."""
    return os.path.isfile(path) or os.path.isdir(path)


def _missing(path: Path) -> Wrong:
    if os.path.islink(path):
        said, hint = (
            f"{path} is a link to {os.readlink(path)}, which leads nowhere",
            "mend the link, or put the file there",
        )
    elif os.path.lexists(path):
        said, hint = f"{path} is neither a file nor a folder", "write what it holds to a file"
    else:
        said = f"{path} does not exist"
        hint = _near(path) or "mend file_name in dataset_info.json, or put it there"
    return Wrong(kind="missing", said=said, hint=hint)


def _taken_for_pattern(path: Path) -> Wrong | None:
    """What is wrong with a path that the datasets library reads as a pattern or a chain, and so does not find."""
    # It makes a path absolute before it looks.
    full = str(path if path.is_absolute() else Path.cwd().resolve() / path)
    if "::" in full and not os.path.exists(full.partition("::")[0]):
        mark = "::"
    elif ("[" in full or "**" in full) and not _matches_itself(full):
        mark = "[" if "[" in full else "**"
    else:
        return None
    said = f"{path} has {mark} in its name, which the datasets library takes for a pattern"
    # Another file may fit, and is read in its place.
    return Wrong(kind="pattern", said=said, hint=f"rename it without {mark}", ends=mark == "::" or not glob(full))


def _matches_itself(full: str) -> bool:
    return all(fnmatchcase(part, part) and ("**" not in part or part == "**") for part in full.split(os.sep))


def _near(place: Path) -> str | None:
    """The name beside it that was probably meant."""
    if not place.parent.is_dir():
        return None
    hint = did_you_mean(place.name, [name for name in os.listdir(place.parent) if name != place.name])
    return hint if hint.startswith("did you mean") else None


def _is_packed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError:
        return False
    return start.startswith(_ARCHIVES)
