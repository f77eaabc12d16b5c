"""The fenced blocks of the documentation, as its tests read them.

A block is run, or a comment on the line before it says why not: ``<!-- not run: needs two machines -->``. Where the
paragraph before it ends with a file's name, ``…, in `data/my.json`:``, the block is that file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

_NOT_RUN = re.compile(r"<!--\s*not run:\s*(\S.*?)\s*-->\s*", flags=re.DOTALL)
_FILE = re.compile(r"`([\w./-]+\.\w+)`:$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: where it stands, its language, its text, the file that it is, why it is not run."""

    where: str
    language: str
    text: str
    file: str | None
    reason: str | None


def blocks(page: Path) -> list[Block]:
    """All of a page, in order, but the directives (``{toctree}`` and others) that only Sphinx runs."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    found = []
    before, comment = "", ""
    for token in tokens:
        if token.type == "inline":
            before = token.content
        elif token.type == "html_block":
            comment = token.content
        elif token.type == "fence" and not token.info.startswith("{"):
            assert token.map is not None
            file, reason = _FILE.search(before), _NOT_RUN.fullmatch(comment)
            found.append(
                Block(
                    where=f"{page.name}:{token.map[0] + 1}",
                    language=token.info.strip(),
                    text=token.content,
                    file=file and file[1],
                    reason=reason and reason[1],
                )
            )
        if token.type in ("fence", "heading_open", "inline"):
            comment = ""
        if token.type == "fence":
            before = ""
    return found
