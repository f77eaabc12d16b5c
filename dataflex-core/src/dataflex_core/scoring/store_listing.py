"""What a folder of stored answers holds, for people; and its removal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataflex_core.scoring.answer_files import SUFFIX, Description, Foreign, is_being_written, read_blocks, read_head
from dataflex_core.scoring.store import name_of
from dataflex_core.wording import first_line


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of answers: ``about`` what, how many ``samples``, in how many ``bytes``.

    ``torn`` is whether it ends in a block that is not whole; ``used`` whether a run has it as its own right now.
    """

    path: Path
    shelf: str
    about: Description
    samples: int
    bytes: int
    torn: bool
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """Of a store: its files, and what else lies in its folder, with what is wrong about each."""

    files: tuple[StoredFile, ...]
    foreign: tuple[tuple[Path, str], ...]


def contents_of(folder: Path) -> Contents:
    """What a store's folder holds. Raises OSError where it cannot be read."""
    files: list[StoredFile] = []
    foreign: list[tuple[Path, str]] = []
    for path in _files_below(folder):
        try:
            files.append(_stored(path))
        except Foreign as wrong:
            foreign.append((path, str(wrong)))
        except (OSError, ValueError, KeyError, TypeError) as error:
            foreign.append((path, f"cannot be read ({first_line(error)})"))
    return Contents(files=tuple(files), foreign=tuple(foreign))


def prune(contents: Contents) -> int:
    """Remove a store's files, but for those that a run has as its own; the bytes that were freed.

    What is not a store's file stays. Raises OSError where one cannot be removed.
    """
    freed = 0
    for file in contents.files:
        if not file.used:
            file.path.unlink(missing_ok=True)
            freed += file.bytes
            if not any(file.path.parent.iterdir()):
                file.path.parent.rmdir()
    return freed


def _files_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _stored(path: Path) -> StoredFile:
    if path.suffix != SUFFIX:
        raise Foreign("is no file of stored answers")
    head = read_head(path)
    if path.parent.name != name_of(head.description):
        raise Foreign("holds answers to another question than its folder's")
    blocks, end = read_blocks(path, head.size)
    used = is_being_written(path)
    return StoredFile(
        path=path,
        shelf=path.parent.name,
        about=head.about,
        samples=sum(len(block.keys) for block in blocks),
        bytes=path.stat().st_size,
        torn=path.stat().st_size > end and not used,
        used=used,
    )
