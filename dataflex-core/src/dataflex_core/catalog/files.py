"""A plugin that is a single file, importable by its stem."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from dataflex_core.errors import InvalidPlugin


def check_file(path: Path) -> None:
    """Whether ``path``, absolute, can be a plugin. Raises `InvalidPlugin`."""
    if path.suffix != ".py" or not path.stem.isidentifier():
        raise InvalidPlugin(f"{path.name} is no Python module", hint="name it like mine.py")
    if not path.is_file():
        raise InvalidPlugin(f"{path} does not exist", hint="name a file; installed plugins are found by themselves")
    other = _other_module(path)
    if other is not None:
        raise InvalidPlugin(f"{path.name} has the name of another module, {other}", hint="rename the file")


def version_of(path: Path) -> str:
    """The first digits of a digest of what the file holds: another text is another version."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def load_file(path: Path) -> ModuleType:
    """Import the file under its stem, so that a spec's ``mine:Mine`` means what ``mine.py`` holds."""
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        return loaded
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


def _other_module(path: Path) -> str | None:
    """Where the stem leads to, if elsewhere."""
    loaded = sys.modules.get(path.stem)
    try:
        found = loaded.__spec__ if loaded is not None else importlib.util.find_spec(path.stem)
    except (ImportError, ValueError):
        return path.stem
    if loaded is None and found is None:
        return None
    origin = None if found is None else found.origin
    return None if origin is not None and Path(origin).resolve() == path.resolve() else str(origin or path.stem)
