"""Strategies and gradient rules that were found, and faults of plugins as data."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from dataflex_core.catalog.watch import importing
from dataflex_core.errors import StrategyFault
from dataflex_core.spec import GradientRule, Need, StrategySpec
from dataflex_core.strategy_faults import place_in


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
        return self.load_from(self.spec.target)

    def load_from(self, target: str) -> Any:
        """Import another ``"module:attribute"`` of the spec. Raises `StrategyFault` when that fails."""
        offered_by, remedy = f"{self.distribution} {self.version}", f"use another strategy than {self.id}"
        return _load(target, f"{self.spec.kind} {self.id}", offered_by, remedy)

    def load_params(self) -> Any | None:
        """Import the parameter dataclass, or None where the strategy takes no parameters."""
        return None if self.spec.params is None else self.load_from(self.spec.params)

    def load_defaults(self) -> Any | None:
        """Its parameters as they are by default; None where it takes none, or has required ones."""
        kind = self.load_params()
        required = kind is None or any(
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            for f in dataclasses.fields(kind)
        )
        return None if required or kind is None else kind()

    def load_needs(self) -> frozenset[Need]:
        """What it needs with its default parameters; those of every use where it has required ones."""
        defaults = None if self.spec.needs_for is None else self.load_defaults()
        if defaults is None or self.spec.needs_for is None:
            return frozenset(self.spec.needs)
        more = self.load_from(self.spec.needs_for)(defaults)
        return frozenset(self.spec.needs) | {Need(need) for need in more}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleRecord:
    """A gradient rule, and the distribution that offers it."""

    rule: GradientRule
    distribution: str
    version: str

    def __str__(self) -> str:
        """For people: what the rule is for, and whose it is."""
        return f"gradient rule for {self.rule.layer} ({self.distribution} {self.version})"

    def load(self) -> tuple[Any, Any]:
        """Import the layer's class and the function. Raises `StrategyFault` when that fails."""
        remedy = f"uninstall {self.distribution}"
        layer, rule = (
            _load(target, str(self), self.distribution, remedy) for target in (self.rule.layer, self.rule.rule)
        )
        return layer, rule


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


def _load(target: str, what: str, offered_by: str, remedy: str) -> Any:
    module, _, attribute = target.partition(":")
    try:
        # What a strategy prints may not spoil `describe --json`.
        with redirect_stdout(sys.stderr), importing(f"{target} of {offered_by}", remedy):
            return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        place = place_in(error, module.partition(".")[0])
        raise StrategyFault(
            f"{what} does not load: {message}" + (f", at {place}" if place else ""),
            hint=f"{offered_by} points at {target}",
        ) from error
