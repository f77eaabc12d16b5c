"""A sample of the demo, and how long its texts are."""

from __future__ import annotations

import re
from dataclasses import dataclass

SHORTEST = 24
"""Characters of an answer: a shorter one teaches nothing."""
_LONGEST = 400
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE_END = re.compile(r"[.!?:](?=\s|$)")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Sample:
    """A question and its answer; ``topic`` is the heading or module it is about, and is not written to disk."""

    instruction: str
    output: str
    topic: str


def shorten(text: str) -> str:
    """``text`` cut to 400 characters: after its first paragraphs, else after a sentence, else after a word."""
    text = text.strip()
    if len(text) <= _LONGEST:
        return text
    kept = ""
    for paragraph in _PARAGRAPH.split(text):
        longer = f"{kept}\n\n{paragraph.rstrip()}" if kept else paragraph.rstrip()
        if len(longer) > _LONGEST:
            break
        kept = longer
    if len(kept) >= SHORTEST:
        return kept
    head = text[:_LONGEST]
    ends = [match.end() for match in _SENTENCE_END.finditer(head) if match.end() >= SHORTEST]
    return head[: ends[-1]] if ends else head.rsplit(None, 1)[0]
