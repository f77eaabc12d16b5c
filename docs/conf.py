"""How Sphinx builds these pages; ``nox -s docs`` runs it, and a warning is an error."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import dataflex_core

if TYPE_CHECKING:
    from sphinx.application import Sphinx

sys.path.append(str(Path(__file__).parent / "_extensions"))

project = "DataFlex"
author = "the DataFlex authors"
release = version = dataflex_core.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "strategy_pages"]
exclude_patterns = ["_build", "_extensions"]
# A name in single backticks in a docstring is a link to the object where that is documented here.
default_role = "py:obj"
# Anchors as on GitHub, where the pages are read as they are.
myst_heading_anchors = 3

autodoc_member_order = "bysource"
# Inherited methods without a docstring of their own are those of the contract, told once there.
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
add_module_names = False

html_theme = "furo"
html_title = f"DataFlex {release}"


def _outside_are_files(app: Sphinx, page: str, source: list[str]) -> None:
    """The papers at the repository's root are no pages of this documentation; a link to one hands the file out."""
    source[0] = re.sub(r"\]\((\.\./[A-Z]+\.md)\)", r"](path:\1)", source[0])


def setup(app: Sphinx) -> None:
    """Sphinx calls it once."""
    app.connect("source-read", _outside_are_files)
