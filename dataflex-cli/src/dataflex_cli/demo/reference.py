"""The language reference, paragraph by paragraph, from the topics that ``help()`` shows."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dataflex_cli.demo.sample import Sample, shorten

_RULE = re.compile(r"([*=\-~^#])\1{2,}")
_NUMBER = re.compile(r"^[\d.]+\s+")
_LONG_ENOUGH = 60


def reference_samples() -> Iterator[Sample]:
    """One sample a paragraph of prose, asked for by the heading it stands under.

    Grammar and code are left out, and what leads up to them.
    """
    from pydoc_data.topics import topics

    for topic in sorted(topics):
        yield from _paragraphs(topics[topic])


def _paragraphs(text: str) -> Iterator[Sample]:
    heading = ""
    for block in text.split("\n\n"):
        lines = block.strip("\n").splitlines()
        if len(lines) >= 2 and _RULE.fullmatch(lines[1].strip()):
            heading = _NUMBER.sub("", lines[0].strip())
            continue
        prose = " ".join(block.replace("-\n", "-").split())
        if heading and lines and not lines[0].startswith(" ") and len(prose) >= _LONG_ENOUGH and prose[-1] != ":":
            question = f"What does the language reference say under {heading}?"
            yield Sample(instruction=question, output=shorten(prose), topic=heading)
