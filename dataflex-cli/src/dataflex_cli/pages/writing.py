"""A page and its numbers are written whole, both or neither, and in place of nothing but a page and its numbers."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from dataflex_cli.pages.html import GENERATOR
from dataflex_core.errors import RunFailed, UsageError
from dataflex_core.others_files import json_of
from dataflex_core.places import barrier
from dataflex_core.wording import first_line

_ELSEWHERE = "name another place with -o"
_MARK, _WITHIN = f'<meta name="generator" content="{GENERATOR}">', 1000
"""What a page has among so many of its first characters."""


def write_page(page: Path, html: str, document: str) -> Path:
    """Write a page, and its numbers as JSON beside it; where these are. What UTF-8 lacks is escaped.

    Raises `UsageError` where a folder, a device or somebody else's file is in the way, and `RunFailed` where they
    cannot be written; what was there before is there still.
    """
    _refuse(page)
    numbers = page.with_suffix(".json")
    if numbers == page:
        raise UsageError(f"{page} is where the numbers would lie", hint="name the page: -o FILE.html")
    _refuse(numbers)
    try:
        _refuse_others(page, numbers)
        page.parent.mkdir(parents=True, exist_ok=True)
        _replace({page.resolve(): html, numbers.resolve(): document})
    except OSError as error:
        raise RunFailed(f"{page} could not be written: {first_line(error)}", hint=_ELSEWHERE) from error
    return numbers


def _refuse(path: Path) -> None:
    """Refuse what can hold no file: putting one in the place of a device would take that away."""
    plain = not os.path.exists(path) or os.path.isfile(path) or os.path.isdir(path)
    wrong = barrier(str(path), folder=False) if plain else "is no plain file"
    if wrong is not None:
        raise UsageError(f"{path} {wrong}", hint=_ELSEWHERE)


def _refuse_others(page: Path, numbers: Path) -> None:
    """Refuse to write over what is no page, and no numbers of one: a configuration, a journal."""
    for path, what, is_ours in ((page, "a page", _is_page), (numbers, "the numbers of a page", _is_numbers)):
        if path.exists() and not is_ours(path):
            raise UsageError(f"{path} is there, and is not {what}", hint=f"remove it, or {_ELSEWHERE}")
    if page.exists() and numbers.exists() and page.samefile(numbers):
        raise UsageError(f"{page} and {numbers} are one file", hint=_ELSEWHERE)


def _is_page(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        begin = file.read(_WITHIN)
    return not begin or _MARK in begin


def _is_numbers(path: Path) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        told = json_of(text)
    except ValueError:
        return not text
    return isinstance(told, dict) and told.get("generator") == GENERATOR


def _replace(texts: dict[Path, str]) -> None:
    """Put each text in the place of its file, once all are written. Raises `OSError`."""
    with ExitStack() as folders:
        made = {}
        for path, text in texts.items():
            folder = folders.enter_context(tempfile.TemporaryDirectory(dir=path.parent, prefix=".dataflex-"))
            made[path] = Path(folder) / "made"
            made[path].write_bytes(text.encode("utf-8", errors="backslashreplace"))
            if path.exists():
                shutil.copymode(path, made[path])
        for path, temporary in made.items():
            os.replace(temporary, path)
