"""From a configuration to a run that is known to be possible, before anything heavy is imported."""

from __future__ import annotations

from dataflex_core.catalog import Catalog
from dataflex_core.config import params
from dataflex_core.config.config import SECTION, RunConfig
from dataflex_core.errors import InvalidParameters, UsageError
from dataflex_core.faults import raise_any
from dataflex_core.llamafactory.checks import check_args, check_needs, check_run
from dataflex_core.llamafactory.reference_checks import check_references
from dataflex_core.prepared import Chosen, PreparedRun, Slot, choose
from dataflex_core.spec import with_implied


def prepare(config: RunConfig, catalog: Catalog) -> PreparedRun:
    """Resolve names, validate parameters, check needs. Raises a `UsageError` that names what to change.

    A run of several processes does this once, in the one that starts the others: see `handover`.
    """
    prepared, faults = examine_run(config, catalog)
    raise_any(faults)
    return prepared


def examine_run(config: RunConfig, catalog: Catalog) -> tuple[PreparedRun, tuple[UsageError, ...]]:
    """The run as far as it is possible, and everything that stands in its way.

    Raises `StrategyFault` for a strategy whose parameters do not load.
    """
    faults = list(check_args(config.args))
    if config.dataflex.active:
        faults.extend(check_run(config.args))
    strategies: dict[Slot, Chosen] = {}
    for kind in config.dataflex.active:
        choice = config.dataflex.choice(kind)
        assert choice is not None
        try:
            record = catalog.resolve(kind, choice.name)
        except UsageError as error:
            error.key = (SECTION, kind.value, "name")
            faults.append(error)
            continue
        made, wrong = params.examine(record.load_params(), choice.params)
        for name, message in wrong:
            hint, key = f"see: dataflex describe {choice.name}", (SECTION, kind.value, name or "name")
            faults.append(InvalidParameters(f"{kind} {choice.name}: {message}", hint=hint, key=key))
        if wrong:
            faults.extend(check_needs(config.args, record.spec, with_implied(kind, record.spec.needs)))
            continue
        chosen = strategies[Slot(kind)] = choose(record, made)
        faults.extend(check_needs(config.args, record.spec, chosen.needs))
        faults.extend(check_references(config.args, record.spec, chosen.references))
    return PreparedRun(config=config, strategies=strategies), tuple(faults)
