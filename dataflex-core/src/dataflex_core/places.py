"""Whether a run can write where it is told to, without leaving a trace there; and how a file is written whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write what is to be at ``path`` whole or not at all: it takes that place once the block has ended well.

    Folders above it are made. For files that one process at a time writes. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def barrier(place: str, *, folder: bool = True) -> str | None:
    """What is in the way of writing to ``place``, a ``folder`` or a file that need not be there; None where nothing is.

    To stand behind its name: "out is a file". A file without a name is written into the nearest folder above.
    """
    if not place.strip():
        return "is empty"
    if "\0" in place:
        return "holds a NUL character"
    path = Path(place).expanduser()
    try:
        return _barrier(path, folder=folder)
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"cannot be written to: {reason}"


def _barrier(path: Path, *, folder: bool) -> str | None:
    if path.is_symlink() and not path.exists():
        return "is a link that leads nowhere"
    if path.exists():
        if folder and not path.is_dir():
            return "is no folder, but a file"
        if not folder and path.is_dir():
            return "is a folder, not a file"
        if not folder and not path.is_file():  # another file would take its place
            return "is a device or a pipe, not a file"
    above = path.absolute() if folder else path.absolute().parent
    while not os.path.lexists(above):
        above = above.parent
    if not above.is_dir():
        return f"cannot be made: {above} is no folder"
    # What a user may do here hangs on more than a mode: read-only and foreign file systems, quotas.
    with tempfile.TemporaryFile(dir=above):
        return None
