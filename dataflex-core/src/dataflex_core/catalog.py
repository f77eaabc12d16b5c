"""Which strategies are installed: discovery through entry points, faults as data, resolution of names."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from dataflex_core.compat.components import is_of_old
from dataflex_core.errors import AmbiguousStrategy, StrategyFault, UnknownStrategy, WrongKind, did_you_mean
from dataflex_core.hooks import PROJECT, Hooks
from dataflex_core.spec import Kind, StrategySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A spec, and the distribution that offers it."""

    spec: StrategySpec
    distribution: str
    version: str

    @property
    def id(self) -> str:
        """The full name, which two plugins never share."""
        return f"{self.distribution}/{self.spec.name}"

    def load(self) -> Any:
        """Import the strategy class. Raises `StrategyFault` when that fails."""
        return _load(self, self.spec.target)

    def load_params(self) -> Any | None:
        """Import the parameter dataclass, or None where the strategy takes no parameters."""
        return None if self.spec.params is None else _load(self, self.spec.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A plugin that could not be used, and why. ``stage`` is ``import``, ``register`` or ``yield``."""

    entry_point: str
    distribution: str
    version: str
    stage: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Every strategy found, and every fault met while looking."""

    records: tuple[Record, ...]
    faults: tuple[Fault, ...] = ()

    def of_kind(self, kind: Kind | None = None) -> tuple[Record, ...]:
        """The records of one kind, or of all, sorted by kind, name and distribution."""
        chosen = [r for r in self.records if kind is None or r.spec.kind is kind]
        return tuple(sorted(chosen, key=lambda r: (list(Kind).index(r.spec.kind), r.spec.name, r.distribution)))

    def named(self, name: str) -> tuple[Record, ...]:
        """The records of that name (``name`` or ``distribution/name``), of whatever kind."""
        return tuple(r for r in self.of_kind() if name in (r.spec.name, r.id))

    def resolve(self, kind: Kind, name: str) -> Record:
        """The one record that ``name`` means. Raises `UnknownStrategy`, `WrongKind` or `AmbiguousStrategy`."""
        found = self.named(name)
        fitting = [r for r in found if r.spec.kind is kind]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            first, second = fitting[0], fitting[1]
            raise AmbiguousStrategy(
                f"{kind} {name!r} is offered by {first.distribution} and {second.distribution}",
                hint=f"write {first.id} or {second.id}",
            )
        if found:
            others = " and a ".join(sorted({r.spec.kind.value for r in found}))
            raise WrongKind(f"{name!r} here is a {others}, not a {kind}", hint=f"write --{found[0].spec.kind} {name}")
        known = [r.spec.name for r in self.of_kind(kind)]
        if known and is_of_old(kind, name):
            raise UnknownStrategy(
                f"no installed plugin offers the {kind} {name!r} of DataFlex 1.x",
                hint="dataflex list-strategies shows what is installed",
            )
        raise UnknownStrategy(f"no {kind} is called {name!r}", hint=did_you_mean(name, known))


def discover(points: Iterable[EntryPoint] | None = None) -> Catalog:
    """Look through the entry points of group ``dataflex``; one bad plugin is a fault, and spoils no other."""
    records: list[Record] = []
    faults: list[Fault] = []
    for point in entry_points(group=PROJECT) if points is None else points:
        distribution = point.dist.name if point.dist is not None else point.module
        version = point.dist.version if point.dist is not None else ""
        stage = "import"
        offered: list[Record] = []
        try:
            # What a plugin prints may not spoil `list-strategies --json`.
            with redirect_stdout(sys.stderr):
                plugin = point.load()
                stage = "register"
                manager = _register(plugin, point.name)
                stage = "yield"
                for spec in _specs(manager):
                    if any((spec.kind, spec.name) == (r.spec.kind, r.spec.name) for r in offered):
                        raise StrategyFault(f"offers {spec.kind} {spec.name!r} twice")
                    offered.append(Record(spec=spec, distribution=distribution, version=version))
        except KeyboardInterrupt:
            raise
        # A plugin is somebody else's code: whatever it raises, SystemExit too, may spoil only itself.
        except BaseException as error:
            fault = Fault(
                entry_point=f"{point.name} = {point.value}",
                distribution=distribution,
                version=version,
                stage=stage,
                error=f"{type(error).__name__}: {error}".strip().splitlines()[0],
            )
            faults.append(fault)
        else:
            records.extend(offered)
    return Catalog(records=tuple(records), faults=tuple(faults))


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


def _load(record: Record, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        raise StrategyFault(
            f"{record.spec.kind} {record.id} does not load: {error}",
            hint=f"{record.distribution} {record.version} points at {target}",
        ) from error
