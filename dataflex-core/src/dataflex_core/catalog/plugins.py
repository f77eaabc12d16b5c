"""Which plugins are looked at: those that are installed, unless they are left out, and files that are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

ONLY, WITHOUT = "DATAFLEX_PLUGINS", "DATAFLEX_DISABLE_PLUGINS"
BUILT_IN = "dataflex-strategies"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugins:
    """``only`` and ``without`` hold canonical names of distributions or entry points, ``files`` absolute paths.

    ``only`` are the plugins beside the built-in ones (None: all); ``without`` leaves out, built-in ones too.
    """

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()

    @classmethod
    def of(cls, env: Mapping[str, str]) -> Plugins:
        """From ``DATAFLEX_PLUGINS`` and ``DATAFLEX_DISABLE_PLUGINS``, names with commas; a blank one says nothing."""
        return cls(only=_names(env.get(ONLY, "")) or None, without=_names(env.get(WITHOUT, "")))

    def admits(self, point: EntryPoint) -> bool:
        """Whether the plugin of an entry point is looked at."""
        named = set(names_of(point))
        wanted = self.only is None or BUILT_IN in named or bool(named & self.only)
        return wanted and not named & self.without

    def unknown(self, points: Iterable[EntryPoint]) -> Iterator[tuple[str, str]]:
        """The names that no entry point goes by, each after the variable that holds it."""
        known = {BUILT_IN}.union(*map(names_of, points))
        for variable, names in ((ONLY, self.only or ()), (WITHOUT, self.without)):
            yield from ((variable, name) for name in sorted(names) if name not in known)

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it, for other processes of the run."""
        only = None if self.only is None else sorted(self.only)
        return {"only": only, "without": sorted(self.without), "files": [str(file) for file in self.files]}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Plugins:
        """What `to_plain` made."""
        return cls(
            only=None if plain["only"] is None else frozenset(plain["only"]),
            without=frozenset(plain["without"]),
            files=tuple(Path(file) for file in plain["files"]),
        )


def names_of(point: EntryPoint) -> tuple[str, ...]:
    """What a plugin may be called by: its entry point and its distribution, canonical."""
    names = (point.name, *([point.dist.name] if point.dist is not None else ()))
    return tuple(canonicalize_name(name) for name in names)


def _names(text: str) -> frozenset[str]:
    """As package indexes compare names: `My_Plugin` is `my-plugin`."""
    return frozenset(canonicalize_name(name.strip()) for name in text.split(",") if name.strip())
