"""Plugins that cannot be used, are slow, or offer what another offers."""

from __future__ import annotations

from collections.abc import Iterator

from dataflex_cli.doctor.check import Check, State
from dataflex_core.catalog import Catalog


def plugin_checks(catalog: Catalog) -> Iterator[Check]:
    """A line for each fault and each name offered twice, and one for what is well."""
    for fault in catalog.faults:
        state = State.PROBLEM if fault.withdrawn else State.WARNING
        remedy = "mend it, uninstall it, or leave it out with DATAFLEX_DISABLE_PLUGINS"
        yield Check(name="plugin", state=state, detail=str(fault), remedy=remedy)
    ambiguous = sorted(catalog.ambiguous(), key=lambda r: (r.spec.kind, r.spec.name, r.distribution))
    for kind, name in dict.fromkeys((r.spec.kind, r.spec.name) for r in ambiguous):
        ids = " or ".join(r.id for r in ambiguous if (r.spec.kind, r.spec.name) == (kind, name))
        detail = f"{kind} {name} is offered more than once"
        yield Check(name="plugin", state=State.WARNING, detail=detail, remedy=f"write {ids}")
    offering = len({r.distribution for r in catalog.records})
    detail = f"{len(catalog.records)} strategies of {offering} distribution{'s'[: offering != 1]}"
    yield Check(name="strategies", state=State.OK if catalog.records else State.PROBLEM, detail=detail)
