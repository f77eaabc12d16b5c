"""What is laid over a configuration file, as values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataflex_core.config.positions import Key
from dataflex_core.config.section import SECTION
from dataflex_core.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What a command line asks for beside a file.

    ``words`` are ``KEY=VALUE`` as somebody typed them, laid over the file in their order. ``values`` are Python values
    by dotted key, laid over both; ``${`` in their text is no reference. ``strategies`` are names by kind, of weighters
    also several, which win over file and words; None leaves out the file's strategies, so that only a word names one.
    ``parameter_words`` are ``kind.param=value``, or ``weighter.position.param=value``, as somebody typed them, for the
    strategies that are left.
    """

    words: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    strategies: Mapping[Kind, str | tuple[str, ...] | None] = field(default_factory=dict)
    parameter_words: tuple[str, ...] = ()

    @property
    def named(self) -> Mapping[Kind, tuple[str, ...]]:
        """The strategies that are asked for by name."""
        asked = self.strategies.items()
        return {kind: (name,) if isinstance(name, str) else name for kind, name in asked if name is not None}

    @property
    def left_out(self) -> tuple[Kind, ...]:
        """The kinds whose strategy in the file does not count."""
        return tuple(kind for kind, name in self.strategies.items() if name is None)

    def keys(self) -> Iterator[Key]:
        """The configuration's keys that are set here, each as its parts."""
        for key in (*(word.partition("=")[0] for word in self.words), *self.values):
            yield key_of(key)
        for kind, name in self.strategies.items():
            yield (SECTION, kind.value) if name is None else (SECTION, kind.value, "name")
        for word in self.parameter_words:
            yield (SECTION, *key_of(word.partition("=")[0]))


def key_of(dotted: str) -> Key:
    """The parts of a dotted key, positions as numbers."""
    return tuple(int(part) if part.isdecimal() else part for part in dotted.split("."))


NO_OVERRIDES = Overrides()
"""The file as it stands."""
