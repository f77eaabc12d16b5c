"""The faults of one request, found together and raised as one error."""

from __future__ import annotations

from collections.abc import Iterable

from dataflex_core.errors import ManyFaults, UsageError


def raise_any(faults: Iterable[UsageError]) -> None:
    """Raise the fault, `ManyFaults` where there are several, nothing where there is none."""
    found = tuple(faults)
    if len(found) == 1:
        raise found[0]
    if found:
        many = ManyFaults("; ".join(map(str, found)))  # each of them has its hint
        many.faults = found
        raise many
