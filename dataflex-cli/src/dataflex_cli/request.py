"""What a command line asks of a run: a file, overrides, strategies and settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dataflex_cli.options import NONE
from dataflex_core.config.config import SECTION
from dataflex_core.config.positions import Key
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``overrides`` are ``KEY=VALUE``, ``settings`` ``kind.param=value``; ``path`` is None where no file was named."""

    path: Path | None
    overrides: tuple[str, ...]
    strategies: Mapping[Kind, str]
    settings: tuple[str, ...]

    @classmethod
    def of(cls, words: tuple[str, ...], flags: Mapping[Kind, str | None], settings: tuple[str, ...]) -> Request:
        """CONFIG, if the first word is one, and the overrides. Raises `InvalidConfig` for a word that is neither."""
        first = words[0] if words else "="
        path = Path(first) if "=" not in first or Path(first).is_file() else None  # a folder may be called lr=1e-5
        overrides = words if path is None else words[1:]
        for word in overrides:
            if "=" not in word:
                raise InvalidConfig(f"{word!r} is no override", hint="write CONFIG first, then KEY=VALUE")
        left_out = (f"{SECTION}.{kind}=null" for kind, name in flags.items() if name == NONE)
        names = {kind: name for kind, name in flags.items() if name is not None and name != NONE}
        return cls(path=path, overrides=(*left_out, *overrides), strategies=names, settings=settings)

    def given(self) -> Iterator[Key]:
        """The keys that the command line sets, not the file."""
        for word in self.overrides:
            yield tuple(word.partition("=")[0].split("."))
        for kind in self.strategies:
            yield (SECTION, kind.value, "name")
        for setting in self.settings:
            yield (SECTION, *setting.split("=", 1)[0].split("."))
