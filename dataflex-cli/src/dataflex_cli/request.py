"""What a command line asks of a run: a file, and what is laid over it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dataflex_cli.options import NONE
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """``path`` is None where no file was named."""

    path: Path | None
    overrides: Overrides

    @classmethod
    def of(
        cls, words: tuple[str, ...], flags: Mapping[Kind, tuple[str, ...]], parameter_words: tuple[str, ...]
    ) -> Request:
        """CONFIG, if the first of ``words`` is one, and KEY=VALUE; ``flags`` are the names given for a kind.

        Raises `InvalidConfig` for a word that is neither, and for names that exclude each other.
        """
        first = words[0] if words else "="
        path = Path(first) if "=" not in first or _is_file(first) else None  # a folder may be called lr=1e-5
        words = tuple(map(_text, words if path is None else words[1:]))
        parameter_words = tuple(map(_text, parameter_words))
        for word in words:
            if "=" not in word:
                raise InvalidConfig(f"{word!r} is no override", hint="write CONFIG first, then KEY=VALUE")
        strategies = {kind: _asked(kind, names) for kind, names in flags.items()}
        return cls(path=path, overrides=Overrides(words=words, strategies=strategies, parameter_words=parameter_words))

    def remarks(self) -> Iterator[UsageError]:
        """Keys and parameters that are set more than once, to different values: the last one counts."""
        for flag, words in (("", self.overrides.words), ("--set ", self.overrides.parameter_words)):
            given: dict[str, list[str]] = {}
            for word in words:
                key, _, value = word.partition("=")
                given.setdefault(key, []).append(value)
            for key, values in given.items():
                if len(set(values)) > 1:
                    said = f"{flag}{key} is given as {' and as '.join(values)}: the last one counts"
                    yield InvalidConfig(said, hint="leave out the others", key=key.split("."))


def _text(word: str) -> str:
    """What somebody typed, in UTF-8, where the locale has no such characters and Python kept their bytes.

    Raises `InvalidConfig` for bytes that are no UTF-8.
    """
    try:
        word.encode("utf-8")
    except UnicodeEncodeError:
        try:
            return os.fsencode(word).decode("utf-8")
        except UnicodeError:
            raise InvalidConfig(f"{word!r} is no UTF-8", hint="set LC_ALL=C.UTF-8, and type it anew") from None
    return word


def _is_file(word: str) -> bool:
    with suppress(OSError):  # it is longer than any name, or in a folder that may not be read
        return Path(word).is_file()
    return False


def _asked(kind: Kind, names: tuple[str, ...]) -> tuple[str, ...] | None:
    """The strategies that a flag names; None where it leaves the kind out."""
    if len(names) > 1 and (kind is not Kind.WEIGHTER or NONE in names):
        only = "a run has several weighters, or none" if kind is Kind.WEIGHTER else f"a run has one {kind}"
        raise InvalidConfig(f"--{kind} is given as {' and as '.join(names)}", hint=only)
    return None if names == (NONE,) else names
