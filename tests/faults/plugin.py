"""A plugin that offers nothing: importing it arms the fault that the environment names, in whatever rank this is."""

from __future__ import annotations

from dataflex_core import hookimpl
from faults.points import arm_from_environment


@hookimpl
def dataflex_strategies():
    """Called once a process, before anything is trained."""
    arm_from_environment()
    return ()
