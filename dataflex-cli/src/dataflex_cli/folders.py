"""Folders that are written whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataflex_core.errors import InvalidConfig


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A scratch folder, whose content becomes that of ``folder`` when the block ends, and is gone when it raises.

    Raises `InvalidConfig` where ``folder`` holds something already or cannot be written.
    """
    folder = folder.absolute()
    try:
        empty = folder.exists()
        if empty and (not folder.is_dir() or any(folder.iterdir())):
            hint = "name a new one, or remove it first"
            raise InvalidConfig(f"{folder} exists and is not an empty folder", hint=hint)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder if empty else folder.parent, prefix=".dataflex-") as scratch:
            built = Path(scratch) / "built"
            built.mkdir()
            yield built
            if empty:
                # It may be where a shell stands: a folder put in its place would not be.
                for child in built.iterdir():
                    child.rename(folder / child.name)
            else:
                built.rename(folder)
    except OSError as error:
        raise InvalidConfig(f"{folder} cannot be written: {error}", hint="name another folder") from error
