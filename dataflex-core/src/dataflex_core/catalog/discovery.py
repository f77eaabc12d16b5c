"""Looking for strategies: one bad plugin is a fault, and spoils no other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pluggy

from dataflex_core.catalog.files import check_file, load_file, version_of
from dataflex_core.catalog.names import Catalog
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.catalog.records import Fault, Record
from dataflex_core.catalog.versions import check_contract, check_requirements
from dataflex_core.catalog.watch import importing
from dataflex_core.errors import InvalidPlugin, StrategyFault
from dataflex_core.hooks import PROJECT, Hooks
from dataflex_core.spec import Kind, StrategySpec

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


def discover(points: Iterable[EntryPoint] | None = None, *, plugins: Plugins | None = None) -> Catalog:
    """Look through the entry points of group ``dataflex``, and the files that ``plugins`` names.

    Without ``plugins`` the environment variables say what is left out. A bad entry point is a fault of the catalog; a
    bad file was asked for, and raises `InvalidPlugin`.
    """
    chosen = Plugins.of(os.environ) if plugins is None else plugins
    every = tuple(entry_points(group=PROJECT) if points is None else points)
    records: list[Record] = []
    faults = [
        Fault(entry_point=variable, distribution=name, version="", stage="find", error="no such plugin is installed")
        for variable, name in chosen.unknown(every)
    ]
    for point in filter(chosen.admits, every):
        offered, wrong = _look(_installed(point), {(r.distribution, r.spec.kind, r.spec.name) for r in records})
        records.extend(offered)
        faults.extend(wrong)
    for file in chosen.files:
        records.extend(_in_file(file))
    return Catalog(records=tuple(records), faults=tuple(faults))


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


def _in_file(path: Path) -> list[Record]:
    check_file(path)
    plugin = _Plugin(
        name=path.stem,
        text=str(path),
        distribution=path.name,
        version=version_of(path),
        requires=tuple,
        load=lambda: load_file(path),
    )
    offered, faults = _look(plugin, set())
    # Who names a file waits for what it imports, and holds the strategy itself there: only what failed matters.
    for fault in faults:
        if fault.withdrawn:
            raise InvalidPlugin(f"{path.name} failed at {fault.stage}: {fault.error}", hint=f"see {path}")
    return offered


def _look(plugin: _Plugin, taken: Set[tuple[str, Kind, str]]) -> tuple[list[Record], list[Fault]]:
    """What a plugin offers, and what is wrong with it: all of its strategies are offered, or none.

    ``taken`` are distribution, kind and name of what other plugins offer: nobody could ask for a second one.
    """
    offered: list[Record] = []
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
                specs = list(_specs(manager))
            for spec in specs:
                mine = {(plugin.distribution, r.spec.kind, r.spec.name) for r in offered}
                if (plugin.distribution, spec.kind, spec.name) in taken | mine:
                    raise StrategyFault(f"offers {spec.kind} {spec.name!r} twice")
                offered.append(Record(spec=spec, distribution=plugin.distribution, version=plugin.version))
    except KeyboardInterrupt:
        raise
    # A plugin is somebody else's code: whatever it raises, SystemExit too, may spoil only itself.
    except BaseException as error:
        return [], [plugin.fault(stage, f"{type(error).__name__}: {error}".strip().splitlines()[0])]
    if heavy := [name for name in _HEAVY if name in sys.modules and name not in before]:
        slow = f"imports {', '.join(heavy)} where it declares itself (import them in the strategy's own module)"
        return offered, [plugin.fault("import", slow, withdrawn=False)]
    return offered, []


def _register(plugin: object, name: str) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Hooks)
    manager.register(plugin, name=name)
    manager.check_pending()
    return manager


def _specs(manager: pluggy.PluginManager) -> Iterator[StrategySpec]:
    answers = manager.hook.dataflex_strategies()
    if not answers:
        raise StrategyFault("implements no hook", hint="decorate dataflex_strategies() with dataflex_core.hookimpl")
    for answer in answers:
        for spec in answer:
            if not isinstance(spec, StrategySpec):
                raise StrategyFault(f"yields {type(spec).__name__}, not StrategySpec")
            yield spec
