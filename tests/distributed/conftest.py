"""What tests of several processes share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="module")
def extensions(tmp_path_factory):
    """DeepSpeed compiles into a folder of its own: a killed compilation leaves a lock that hangs the next."""
    return os.environ.get("TORCH_EXTENSIONS_DIR") or tmp_path_factory.mktemp("extensions")
