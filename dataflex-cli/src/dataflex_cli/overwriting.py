"""Files that a command writes are new: none that is there is written over."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataflex_core.errors import InvalidConfig
from dataflex_core.places import barrier


def check_new(path: Path) -> None:
    """Raise `InvalidConfig` where something of this name is there, or it cannot be written.

    To be called before anything takes its time. `new_file` says again of a file that was made since.
    """
    if (wrong := barrier(str(path), folder=False)) is not None:
        raise InvalidConfig(f"{path} {wrong}", hint="name another file")
    if path.exists():
        raise _exists(path)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Where to write what is to be a file ``path``, whole or not at all: so it is called once the block has ended well.

    Raises `InvalidConfig` where there is one by then, whoever made it, and OSError where it cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".dataflex-") as folder:
        written = Path(folder) / "written"
        yield written
        try:
            _name(written, path)
        except FileExistsError:
            raise _exists(path) from None


def _name(written: Path, path: Path) -> None:
    """Call a file ``path``. Raises `FileExistsError` where there is one, whenever it was made."""
    try:
        os.link(written, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the name is taken first
        path.touch(exist_ok=False)
        written.replace(path)


def _exists(path: Path) -> InvalidConfig:
    return InvalidConfig(f"{path} exists", hint="name a file that does not exist yet, or remove it first")
