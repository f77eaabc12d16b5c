"""What a name means among the strategies that were found: one of them, none, or a clash of several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dataflex_core.catalog.records import Fault, Record, RuleRecord
from dataflex_core.compat.components import is_of_old, what_to_do
from dataflex_core.errors import AmbiguousStrategy, UnknownStrategy, WrongKind
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Every strategy and every gradient rule found, and every fault met while looking."""

    records: tuple[Record, ...]
    faults: tuple[Fault, ...] = ()
    rules: tuple[RuleRecord, ...] = ()

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
                hint=what_to_do(name),
            )
        raise self.unknown(name, kind)

    def unknown(self, name: str, kind: Kind | None = None) -> UnknownStrategy:
        """What to raise where nothing of a kind, or of any, has that name; plugins that failed may have offered it."""
        hint = did_you_mean(name, [r.spec.name for r in self.of_kind(kind)])
        if failed := sorted({fault.distribution for fault in self.faults if fault.withdrawn}):
            hint = f"{hint}; {', '.join(failed)} failed, and dataflex plugins list says why"
        return UnknownStrategy(f"no {kind or 'strategy'} is called {name!r}", hint=hint)
