"""Strategies from the literature as others would write them: single files, of public names only, read as plugins."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

from dataflex_core.catalog import Catalog, discover
from dataflex_core.catalog.plugins import Plugins

FOLDER = Path(__file__).with_name("thirdparty")
FILES = tuple(sorted(FOLDER.glob("*.py")))
NAMES = {
    "rho_1": "my-rho-1",
    "exp3": "exp3",
    "rho_loss": "reducible-loss",
    "k_center": "k-center",
    "curriculum": "easy-first",
}


def catalog() -> Catalog:
    """What is installed, and these files, as ``--plugin`` has them."""
    return discover(plugins=Plugins(files=FILES))


def module(stem: str) -> ModuleType:
    """A file as the catalog has imported it."""
    catalog()
    return sys.modules[stem]
