"""Whether this environment can train: a check a line, with a remedy where something is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dataflex_cli.doctor.bytecode import bytecode_check, imported_module
from dataflex_cli.doctor.check import Check
from dataflex_cli.doctor.installed import read_environment
from dataflex_cli.doctor.locks import extensions_folder, lock_checks
from dataflex_cli.doctor.machine import machine_checks, probe
from dataflex_cli.doctor.pairs import pair_checks
from dataflex_cli.doctor.plugins import plugin_checks
from dataflex_cli.doctor.versions import version_checks
from dataflex_core.catalog import Catalog

__all__ = ["Check", "checks"]


def checks(catalog: Catalog) -> Iterator[Check]:
    """Every check, in the order in which things go wrong. Starts a process that imports torch: some seconds."""
    environment = read_environment()
    yield from version_checks(environment)
    yield from pair_checks(environment)
    yield from machine_checks(probe())
    source, written = imported_module()
    yield bytecode_check(source, written=written)
    yield from lock_checks(extensions_folder(os.environ, Path.home()))
    yield from plugin_checks(catalog)
