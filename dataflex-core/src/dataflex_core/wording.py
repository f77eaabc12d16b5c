"""How errors are worded: what a library said and advised in one line, and the word that was probably meant."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError

_REMEDY = re.compile(
    r"\b(to fix|(re)?install|upgrade|downgrade|please|you (can|may|need|must|should)|try|make sure|consider"
    r"|instead|run `|set |unset |export |use |pass |hint|see http)",
    re.IGNORECASE,
)
_REMEDIES = 3  # lines of them that a person reads


def first_line(error: BaseException) -> str:
    """What a library's error says first, and what it says to do about it, in one line; its name where it is silent."""
    text = str(error)
    if isinstance(error, PackageNotFoundError) and error.args:
        text = str(error.args[0])  # its text puts words before the name, which here is a sentence
    lines = [" ".join(line.split()) for line in (*text.splitlines(), *getattr(error, "__notes__", ())) if line.strip()]
    if not lines:
        return type(error).__name__
    kept = lines[:1]
    for before, line in itertools.pairwise(lines):
        if len(kept) <= _REMEDIES and (_REMEDY.search(line) or (before == kept[-1] and before.endswith(":"))):
            kept.append(line)
    return kept[0] + "".join(f"{' ' if said[-1] in '.:!?' else '; '}{then}" for said, then in itertools.pairwise(kept))


def one_line(error: BaseException) -> str:
    """Type and text of any error in one line; the type alone where it says nothing."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` for the nearest of ``known``, or the sorted list of them where none is near."""
    options = sorted(set(known))
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(options) if options else "there are none"
