"""From a configuration to a pool that can be judged, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator

from dataflex_core.catalog import Catalog, Record
from dataflex_core.config.section import RunConfig
from dataflex_core.contracts import ScoringSelector
from dataflex_core.errors import DataflexError, UnmetNeed, UsageError
from dataflex_core.faults import raise_any
from dataflex_core.judging import Judging
from dataflex_core.llamafactory.checks import check_needs, check_run
from dataflex_core.prepare import examine_data, examine_run
from dataflex_core.prepared import SELECTOR, PreparedRun, implementation_of
from dataflex_core.spec import Kind, Need, StrategySpec

_LOSSES = StrategySpec(
    kind=Kind.SELECTOR, name="losses", target="dataflex_core.signals:Signals", summary="the loss of every sample"
)


def prepare_judging(config: RunConfig, judging: Judging, catalog: Catalog) -> PreparedRun:
    """As `prepare` does, of a configuration that is for judging. Raises a `UsageError` that names what to change."""
    if judging.signal is None and config.dataflex.selector is None:
        raise UnmetNeed("nothing says what to judge by", hint="add --selector NAME, or --signal losses")
    prepared, faults = examine_run(config, catalog)
    raise_any((*faults, *_faults(prepared, judging, catalog), *examine_data(config).faults))
    return prepared


def _faults(prepared: PreparedRun, judging: Judging, catalog: Catalog) -> Iterator[UsageError]:
    if judging.signal is not None:
        yield from check_run(prepared.config.args)
        yield from check_needs(prepared.config.args, _LOSSES, {Need.LOSSES})
        return
    chosen = prepared.strategies.get(SELECTOR)
    if chosen is not None and not issubclass(implementation_of(chosen.record), ScoringSelector):
        named = [record.spec.name for record in catalog.of_kind(Kind.SELECTOR) if _scores(record)]
        raise UnmetNeed(
            f"{chosen.title} gives no scores of samples one by one", hint=f"use one that does, as {', '.join(named)}"
        )


def _scores(record: Record) -> bool:
    """Whether it scores samples one by one; not where it does not load."""
    try:
        return issubclass(implementation_of(record), ScoringSelector)
    except DataflexError:
        return False
