"""What a command line asks of a run: a file, and what is laid over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataflex_cli.options import NONE
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``path`` is None where no file was named."""

    path: Path | None
    overrides: Overrides

    @classmethod
    def of(cls, words: tuple[str, ...], flags: Mapping[Kind, str | None], parameter_words: tuple[str, ...]) -> Request:
        """CONFIG, if the first of ``words`` is one, and KEY=VALUE; ``flags`` that were not given are None.

        Raises `InvalidConfig` for a word that is neither.
        """
        first = words[0] if words else "="
        path = Path(first) if "=" not in first or Path(first).is_file() else None  # a folder may be called lr=1e-5
        words = words if path is None else words[1:]
        for word in words:
            if "=" not in word:
                raise InvalidConfig(f"{word!r} is no override", hint="write CONFIG first, then KEY=VALUE")
        strategies = {kind: None if name == NONE else name for kind, name in flags.items() if name is not None}
        return cls(path=path, overrides=Overrides(words=words, strategies=strategies, parameter_words=parameter_words))
