"""What was imported is left out of garbage collections.

accelerate has all garbage collected in each run, which takes half a second where LLaMA-Factory is imported: a third of
the time of a short run.
"""

from __future__ import annotations

import gc
import sys

import pytest

_MANY = 200
"""Modules: fewer than torch or LLaMA-Factory brings."""


class ImportsKept:
    """Freezes after a test with which many modules came, as a plugin of pytest."""

    def __init__(self) -> None:
        self._seen = 0

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        if len(sys.modules) > self._seen + _MANY:
            gc.collect()
            gc.freeze()
            self._seen = len(sys.modules)
