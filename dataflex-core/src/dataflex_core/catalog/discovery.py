"""Looking for strategies: one bad plugin is a fault, and spoils no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pluggy

from dataflex_core.catalog.files import check_file, load_file, version_of
from dataflex_core.catalog.names import Catalog
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.catalog.records import Fault, Record, RuleRecord
from dataflex_core.catalog.versions import check_contract, check_requirements
from dataflex_core.catalog.watch import importing
from dataflex_core.errors import InvalidPlugin, StrategyFault
from dataflex_core.hooks import PROJECT, Hooks
from dataflex_core.spec import GradientRule, Kind, StrategySpec

# What a declaration has no use for: seconds of every `dataflex` command, even of `--help` in a shell's completion.
_HEAVY = ("torch", "transformers", "numpy", "pydantic")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plugin:
    name: str
    text: str
    distribution: str
    version: str
    requires: Callable[[], Iterable[str]]
    load: Callable[[], object]

    @property
    def remedy(self) -> str:
        """What to do about one that cannot be waited for."""
        by_file = self.distribution == Path(self.text).name
        return "do without --plugin" if by_file else f"leave it out: DATAFLEX_DISABLE_PLUGINS={self.distribution}"

    def fault(self, stage: str, error: str, *, withdrawn: bool = True) -> Fault:
        return Fault(
            entry_point=self.text,
            distribution=self.distribution,
            version=self.version,
            stage=stage,
            error=error,
            withdrawn=withdrawn,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What a plugin offers, and what is wrong with it."""

    records: list[Record] = field(default_factory=list)
    rules: list[RuleRecord] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def discover(points: Iterable[EntryPoint] | None = None, *, plugins: Plugins | None = None) -> Catalog:
    """Look through the entry points of group ``dataflex``, and the files that ``plugins`` names.

    Without ``plugins`` the environment variables say what is left out. A bad entry point is a fault of the catalog; a
    bad file was asked for, and raises `InvalidPlugin`.
    """
    chosen = Plugins.of(os.environ) if plugins is None else plugins
    every = tuple(entry_points(group=PROJECT) if points is None else points)
    records: list[Record] = []
    rules: list[RuleRecord] = []
    faults = [
        Fault(entry_point=variable, distribution=name, version="", stage="find", error="no such plugin is installed")
        for variable, name in chosen.unknown(every)
    ]
    for point in filter(chosen.admits, every):
        offer = _look(_installed(point), {(r.distribution, r.spec.kind, r.spec.name) for r in records})
        records.extend(offer.records)
        rules.extend(offer.rules)
        faults.extend(offer.faults)
    for file in chosen.files:
        offer = _in_file(file)
        records.extend(offer.records)
        rules.extend(offer.rules)
    return Catalog(records=tuple(records), faults=tuple(faults), rules=tuple(rules))


def _installed(point: EntryPoint) -> _Plugin:
    dist = point.dist
    return _Plugin(
        name=point.name,
        text=f"{point.name} = {point.value}",
        distribution=dist.name if dist is not None else point.module,
        version=dist.version if dist is not None else "",
        requires=lambda: (dist.requires if dist is not None else None) or (),
        load=point.load,
    )


def _in_file(path: Path) -> _Offer:
    check_file(path)
    plugin = _Plugin(
        name=path.stem,
        text=str(path),
        distribution=path.name,
        version=version_of(path),
        requires=tuple,
        load=lambda: load_file(path),
    )
    offer = _look(plugin, set())
    # Who names a file waits for what it imports, and holds the strategy itself there: only what failed matters.
    for fault in offer.faults:
        if fault.withdrawn:
            raise InvalidPlugin(f"{path.name} failed at {fault.stage}: {fault.error}", hint=f"see {path}")
    return offer


def _look(plugin: _Plugin, taken: Set[tuple[str, Kind, str]]) -> _Offer:
    """What a plugin offers, and what is wrong with it: all that it has is offered, or nothing.

    ``taken`` are distribution, kind and name of what other plugins offer: nobody could ask for a second one.
    """
    records: list[Record] = []
    rules: list[RuleRecord] = []
    before = set(sys.modules)
    stage = "version"
    try:
        # What a plugin prints may not spoil `list-strategies --json`.
        with redirect_stdout(sys.stderr):
            check_requirements(plugin.requires())
            stage = "import"
            with importing(f"{plugin.distribution} {plugin.version}: {plugin.text}", plugin.remedy):
                module = plugin.load()
            stage = "version"
            check_contract(module)
            stage = "register"
            manager = _register(module, plugin.name)
            stage = "yield"
            with importing(f"{plugin.distribution} {plugin.version}: {plugin.text}", plugin.remedy):
                everything = list(_offered(manager))
            for offered in everything:
                if isinstance(offered, GradientRule):
                    rules.append(RuleRecord(rule=offered, distribution=plugin.distribution, version=plugin.version))
                    continue
                mine = {(plugin.distribution, r.spec.kind, r.spec.name) for r in records}
                if (plugin.distribution, offered.kind, offered.name) in taken | mine:
                    raise StrategyFault(f"offers {offered.kind} {offered.name!r} twice", hint="give one another name")
                records.append(Record(spec=offered, distribution=plugin.distribution, version=plugin.version))
    except KeyboardInterrupt:
        raise
    # A plugin is somebody else's code: whatever it raises, SystemExit too, may spoil only itself.
    except BaseException as error:
        return _Offer(faults=[plugin.fault(stage, f"{type(error).__name__}: {error}".strip().splitlines()[0])])
    if heavy := [name for name in _HEAVY if name in sys.modules and name not in before]:
        slow = f"imports {', '.join(heavy)} where it declares itself (import them in the strategy's own module)"
        return _Offer(records=records, rules=rules, faults=[plugin.fault("import", slow, withdrawn=False)])
    return _Offer(records=records, rules=rules)


def _register(plugin: object, name: str) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(plugin, name=name)
    manager.check_pending()
    return manager


def _offered(manager: pluggy.PluginManager) -> Iterator[StrategySpec | GradientRule]:
    strategies, rules = manager.hook.dataflex_strategies(), manager.hook.dataflex_gradient_rules()
    if not strategies and not rules:
        raise StrategyFault("implements no hook", hint="decorate dataflex_strategies() with dataflex_core.hookimpl")
    for answers, kind in ((strategies, StrategySpec), (rules, GradientRule)):
        for answer in answers:
            for one in answer:
                if not isinstance(one, kind):
                    raise StrategyFault(
                        f"yields {type(one).__name__}, not {kind.__name__}", hint=f"make it a {kind.__name__}"
                    )
                yield one
