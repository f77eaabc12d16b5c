"""From a configuration to a run that is known to be possible, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dataflex_core.catalog import Catalog
from dataflex_core.config import params
from dataflex_core.config.section import SECTION, RunConfig, StrategyChoice
from dataflex_core.errors import InvalidConfig, InvalidParameters, UnmetNeed, UsageError
from dataflex_core.faults import raise_any
from dataflex_core.finite import MOST
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.checks import (
    blames_stage,
    check_args,
    check_chunked_losses,
    check_domain_losses,
    check_needs,
    check_run,
)
from dataflex_core.llamafactory.datasets.index import stage_faults
from dataflex_core.llamafactory.datasets.look import Findings, look
from dataflex_core.llamafactory.packages import check_packages
from dataflex_core.llamafactory.reference_checks import check_references
from dataflex_core.llamafactory.unheard import check_asked
from dataflex_core.places import barrier
from dataflex_core.planning.schedule import Schedule, total_steps
from dataflex_core.prepared import SELECTOR, Chosen, PreparedRun, Slot, choose, title_of
from dataflex_core.requests import CheckRequest
from dataflex_core.spec import Kind, Need, with_implied


def prepare(config: RunConfig, catalog: Catalog) -> PreparedRun:
    """Resolve names, validate parameters, check needs. Raises a `UsageError` that names what to change.

    A run of several processes does this once, in the one that starts the others: see `handover`.
    """
    prepared, faults = examine_run(config, catalog)
    raise_any((*faults, *examine_data(config).faults))
    return prepared


def examine_data(config: RunConfig) -> Findings:
    """What is wrong with the rows of its data sets, by a look into their files: see `look`."""
    by_domain = {Kind.SELECTOR, Kind.MIXER} & set(config.dataflex.active)
    return look(config.args, each=bool(by_domain))


def examine_run(config: RunConfig, catalog: Catalog) -> tuple[PreparedRun, tuple[UsageError, ...]]:
    """The run as far as it is possible, and everything that stands in its way.

    Raises `StrategyFault` for a strategy whose parameters do not load.
    """
    faults = [*check_args(config.args), *_check_store(config.dataflex.store)]
    of_run = list(check_run(config.args)) if config.dataflex.active else []
    faults.extend(of_run)
    if not any(map(blames_stage, of_run)):
        faults.extend(stage_faults(config.args))
    strategies: dict[Slot, Chosen] = {}
    for kind in config.dataflex.active:
        choices = config.dataflex.choices(kind)
        for position, choice in enumerate(choices):
            chosen, wrong = _examine_strategy(kind, choice, config, catalog)
            if chosen is not None:
                strategies[Slot(kind, position)] = chosen
            for fault in wrong:
                if len(choices) > 1 and fault.key[:2] == (SECTION, kind.value):
                    fault.key = (*fault.key[:2], position, *fault.key[2:])
            said = {(fault.key, str(fault)) for fault in faults}  # of the same weighter twice
            faults.extend(fault for fault in wrong if (fault.key, str(fault)) not in said)
    faults.extend(_check_holdout(config, strategies))
    faults.extend(check_asked(config))
    if config.dataflex.active and config.dataflex.loss_by_domain is True:
        faults.extend(check_domain_losses(config.args))
    if config.dataflex.active and config.dataflex.chunked_loss is True:
        faults.extend(check_chunked_losses(config.args))
    faults.extend(check_scoring(config, strategies.get(SELECTOR)))
    in_the_way = {fault.key for fault in faults}
    faults.extend(fault for fault in check_packages(config.args) if fault.key not in in_the_way)
    return PreparedRun(config=config, strategies=strategies, rules=catalog.rules), tuple(faults)


def _examine_strategy(
    kind: Kind, choice: StrategyChoice, config: RunConfig, catalog: Catalog
) -> tuple[Chosen | None, list[UsageError]]:
    """The strategy with its parameters, where these are right, and its faults, with keys as of the only one."""
    args = config.args
    try:
        record = catalog.resolve(kind, choice.name)
    except UsageError as error:
        error.key = (SECTION, kind.value, "name")
        return None, [error]
    made, wrong = params.examine(record.load_params(), choice.params, owner=title_of(record))
    faults: list[UsageError] = []
    for name, message in wrong:
        hint, key = f"see: dataflex describe {choice.name}", (SECTION, kind.value, name or "name")
        faults.append(InvalidParameters(f"{kind} {choice.name}: {message}", hint=hint, key=key))
    if wrong:
        return None, [*faults, *check_needs(args, record.spec, with_implied(kind, record.spec.needs))]
    chosen = choose(record, made)
    faults.extend(check_needs(args, record.spec, chosen.needs))
    faults.extend(check_references(args, record.spec, chosen.references))
    faults.extend(_check_parameters(chosen, config))
    return chosen, faults


def _check_parameters(chosen: Chosen, config: RunConfig) -> Iterator[UsageError]:
    """What a strategy says against its parameters in this run."""
    try:
        chosen.check(CheckRequest(domains=_domains(config), columns=config.dataflex.columns))
    except UsageError as error:
        error.key = error.key or (SECTION, chosen.record.spec.kind.value)
        yield error


def _domains(config: RunConfig) -> tuple[str, ...] | None:
    """The domains' names, where they are those of the data sets that the run is to tokenise."""
    args = RunArgs(written=config.args)
    if config.dataflex.domain_column is not None or args.keeps_tokens:
        return None
    return tuple(args.datasets) or None


def _check_holdout(config: RunConfig, strategies: Mapping[Slot, Chosen]) -> Iterator[UsageError]:
    """Strategies that ask for held-out samples, of a run that keeps none out."""
    for slot, chosen in strategies.items():
        if Need.HOLDOUT in chosen.needs and config.dataflex.holdout is None:
            yield UnmetNeed(
                f"{slot.kind} {chosen.record.spec.name} goes by samples that are kept out of training: there are none",
                hint=f"set {SECTION}.holdout: 0.02, or another share of each domain",
                key=(SECTION, slot.kind.value),
            )


def _check_store(store: str | None) -> Iterator[UsageError]:
    """A folder for the answers of frozen models that cannot be written to."""
    if store is not None and (wrong := barrier(store)) is not None:
        hint = "name a folder that may be written to, or leave it out for one below output_dir"
        place = f"dataflex.store: {store} {wrong}" if store.strip() else f"dataflex.store {wrong}"
        yield InvalidConfig(place, hint=hint, key=[SECTION, "store"])


def check_scoring(config: RunConfig, selector: Chosen | None) -> Iterator[UsageError]:
    """Choices by scores to spread, of a selector that has none."""
    if selector is not None and config.dataflex.spread is not None and not selector.scores:
        said = f"{selector.title} does not score samples one by one, which {SECTION}.spread is about"
        yield InvalidConfig(said, hint="leave it out", key=(SECTION, "spread"))


def check_schedule(config: RunConfig) -> Iterator[UsageError]:
    """What can be said of warm-up and decisions before the data is loaded: nothing where epochs decide.

    A run says the same once it is.
    """
    section, written = config.dataflex, RunArgs(written=config.args).max_steps
    fixed = written if isinstance(written, int | float) and 0 < written <= MOST else 0
    if not section.active or (section.updates is None and not fixed):
        return
    try:
        steps = total_steps(
            warmup_steps=section.warmup_steps,
            update_steps=section.update_steps,
            updates=section.updates,
            max_steps=int(fixed),
            epochs=1,
            steps_per_epoch=1,
        )
        Schedule(warmup_steps=section.warmup_steps, update_steps=section.update_steps, total_steps=steps)
    except UsageError as error:
        yield error
