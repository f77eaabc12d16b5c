"""Members that a promise is tested over, of which some are left to the slow tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def cases(members: Iterable[Any], *, slow: Sequence[Any]) -> list[Any]:
    """For `pytest.mark.parametrize`: those of ``members`` that ``slow`` names are marked so. It may name no others."""
    members = list(members)
    assert all(member in members for member in slow), "each of the slow ones is a member"
    return [pytest.param(member, marks=pytest.mark.slow) if member in slow else member for member in members]
