"""A headless Chromium, Debian's or Playwright's own, and axe-core: where they are missing tests are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """One for all tests."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: nox -s browser does")
    found = next((path for name in CHROMIUM if (path := shutil.which(name)) is not None), None)
    with playwright.sync_playwright() as started:
        if found is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("there is no browser: apt-get install chromium, or playwright install chromium")
        options = {} if found is None else {"executable_path": found}
        made = started.chromium.launch(args=["--no-sandbox"], **options)
        yield made
        made.close()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    place = os.environ.get("AXE_CORE")
    if not place or not Path(place).is_file():
        pytest.skip("AXE_CORE names no axe.min.js: nox -s browser fetches it with npm")
    return Path(place).read_text(encoding="utf-8")
