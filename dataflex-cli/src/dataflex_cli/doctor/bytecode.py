"""Whether compiled modules are kept: where they are not, each start compiles the thousands that training imports."""

from __future__ import annotations

import importlib.util
import shlex
import sys
from importlib.machinery import PathFinder
from pathlib import Path

from dataflex_cli.doctor.check import Check, State
from dataflex_core.places import barrier

NAME = "compiled modules"


def bytecode_check(source: Path | None, *, written: bool) -> Check:
    """Of ``source``, a module that training imports; ``written``: whether Python writes what it compiles.

    A warning where it is not compiled and will not be.
    """
    if source is None:
        return Check(name=NAME, state=State.OK, detail="transformers is not installed: there are none")
    compiled = Path(importlib.util.cache_from_source(str(source)))
    if compiled.exists():
        return Check(name=NAME, state=State.OK, detail=f"kept in {compiled.parent}")
    lost = "each start compiles what it imports, some ten seconds long"
    if not written:
        remedy = f"unset it, or python -m compileall -q -j 0 {shlex.quote(str(source.parents[1]))}"
        detail = f"none, and PYTHONDONTWRITEBYTECODE is set, or python -B: {lost}"
        return Check(name=NAME, state=State.WARNING, detail=detail, remedy=remedy)
    if barrier(str(compiled.parent)) is not None:
        detail = f"none, and {compiled.parent} cannot be written: {lost}"
        remedy = "export PYTHONPYCACHEPREFIX=FOLDER, one that can"
        return Check(name=NAME, state=State.WARNING, detail=detail, remedy=remedy)
    return Check(name=NAME, state=State.OK, detail="kept from the first start on")


def imported_module() -> tuple[Path | None, bool]:
    """What `bytecode_check` takes, of this process."""
    spec = PathFinder.find_spec("transformers")
    return (None if spec is None or spec.origin is None else Path(spec.origin)), not sys.dont_write_bytecode
