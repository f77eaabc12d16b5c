"""Strategies that were found, faults as data, resolution of names."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from dataflex_core.compat.components import is_of_old
from dataflex_core.errors import AmbiguousStrategy, StrategyFault, UnknownStrategy, WrongKind
from dataflex_core.spec import Kind, StrategySpec
from dataflex_core.wording import did_you_mean


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

    def load_from(self, target: str) -> Any:
        """Import another ``"module:attribute"`` of the spec. Raises `StrategyFault` when that fails."""
        return _load(self, target)

    def load_params(self) -> Any | None:
        """Import the parameter dataclass, or None where the strategy takes no parameters."""
        return None if self.spec.params is None else _load(self, self.spec.params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with a plugin. ``stage`` is ``find``, ``version``, ``import``, ``register`` or ``yield``.

    ``withdrawn`` is whether its strategies are not offered: a plugin that is only slow to declare keeps them.
    """

    entry_point: str
    distribution: str
    version: str
    stage: str
    error: str
    withdrawn: bool = True

    def __str__(self) -> str:
        """One line for people."""
        plugin = f"{self.distribution} {self.version}".rstrip()
        return f"{plugin}: {self.entry_point} {'failed' if self.withdrawn else 'is slow'} at {self.stage}: {self.error}"


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

    def ambiguous(self) -> frozenset[Record]:
        """The records whose name another distribution offers too: they are asked for by their `Record.id`."""
        offered = Counter((r.spec.kind, r.spec.name) for r in self.records)
        return frozenset(r for r in self.records if offered[r.spec.kind, r.spec.name] > 1)

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
        if self.of_kind(kind) and is_of_old(kind, name):
            raise UnknownStrategy(
                f"no installed plugin offers the {kind} {name!r} of DataFlex 1.x",
                hint="dataflex list-strategies shows what is installed",
            )
        raise self.unknown(name, kind)

    def unknown(self, name: str, kind: Kind | None = None) -> UnknownStrategy:
        """What to raise where nothing of a kind, or of any, has that name; plugins that failed may have offered it."""
        hint = did_you_mean(name, [r.spec.name for r in self.of_kind(kind)])
        if failed := sorted({fault.distribution for fault in self.faults if fault.withdrawn}):
            hint = f"{hint}; {', '.join(failed)} failed, and dataflex plugins list says why"
        return UnknownStrategy(f"no {kind or 'strategy'} is called {name!r}", hint=hint)


def _load(record: Record, target: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        # What a strategy prints may not spoil `describe --json`.
        with redirect_stdout(sys.stderr):
            return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        raise StrategyFault(
            f"{record.spec.kind} {record.id} does not load: {message}",
            hint=f"{record.distribution} {record.version} points at {target}",
        ) from error
