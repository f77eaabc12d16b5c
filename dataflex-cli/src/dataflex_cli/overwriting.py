"""Files that a command writes are none of those that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from dataflex_core.errors import InvalidConfig
from dataflex_core.places import barrier


def check_targets(targets: Mapping[str, Path], read: Iterable[Path]) -> None:
    """To be called before anything is written: what is of each name is to be written to its file of ``targets``.

    Raises `InvalidConfig` where a target cannot be written, where it is one of the files that are ``read``, however
    they are spelt and by whatever links, and where two targets are one file.
    """
    known = {_identity(path) for path in read}
    taken: dict[object, str] = {}
    for name, target in targets.items():
        if (wrong := barrier(str(target), folder=False)) is not None:
            raise InvalidConfig(f"-o: {target} {wrong}", hint="name another file")
        identity = _identity(target)
        if identity in known:
            raise InvalidConfig(f"-o: {target} is one of the files that are read", hint="name another file")
        if (other := taken.setdefault(identity, name)) != name:
            raise InvalidConfig(f"-o: {target} would be that of {other} and that of {name}", hint="name another file")


def _identity(path: Path) -> object:
    """The same for two paths of one file."""
    try:
        found = path.stat()
    except OSError:  # it is not there
        return os.path.realpath(path)
    return found.st_dev, found.st_ino
