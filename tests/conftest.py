"""Fixtures: one tiny model and one data folder a session; nothing reaches for a network."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

for _name, _value in {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}.items():
    os.environ.setdefault(_name, _value)

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """A test that trains, or compares floats, has to carry the marker `numeric`."""
    from imports_kept import ImportsKept
    from numeric import Numeric

    with suppress(ImportError):  # not every session has it
        from hypothesis import settings

        # The same examples each time: a test fails for what was changed, not for what was drawn.
        settings.register_profile("any machine", deadline=None, derandomize=True)
        settings.load_profile("any machine")
    config.pluginmanager.register(Numeric(), "numeric")
    config.pluginmanager.register(ImportsKept(), "imports kept")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support import build_model

    return build_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def experts(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support import build_experts

    return build_experts(tmp_path_factory.mktemp("experts"), model)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support import build_data

    return build_data(tmp_path_factory.mktemp("data"))
