"""Tables of texts for trackers, and the texts of single tokens."""

from __future__ import annotations

import pytest

from dataflex_core.journal.texts import Piece, Shown, Text
from dataflex_core.trainer.text_tables import COLUMNS, markdown_of, row_of
from dataflex_core.trainer.weighed_tokens import token_texts

pytestmark = pytest.mark.numeric


def test_no_text_is_markup():
    hostile = "<script>alert(1)</script> a|b `c` *d* [e](http://f)\nnew line"
    pieces = (Piece(role="prompt", text=hostile), Piece(role="answer", text="x" * 900))
    text = Text(sample=3, pieces=pieces, tokens=9, trained=4, cut=False, file="a_b.json", row=7)
    row = row_of(Shown(decision=1, sample=3, why="highest", score=0.123456, rank=1), text, "d|e")
    lines = markdown_of([row]).splitlines()
    assert len(lines) == 3
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert len(cells) == len(COLUMNS)
    assert cells[:4] == ["1", "0.1235", "3", "d&#124;e"]
    assert not set("<>`*[]") & set(lines[2])
    assert "://" not in lines[2]
    assert len(row["answer"]) == 500


@pytest.mark.parametrize(
    "text",
    ["plain words", "dürfen wir? 🙂🙂 ja", "", "🙂"],
)
def test_tokens_have_the_text_that_they_add(text):
    data = text.encode()
    tokens = list(data)

    def decode(ids):
        return bytes(ids).decode("utf-8", "replace")

    found = token_texts(tokens, decode)
    assert "".join(found) == text
    assert len(found) == len(tokens)


def test_a_token_that_is_torn_for_good_is_shown_so():
    found = token_texts([0xF0, 65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 66], lambda ids: bytes(ids).decode("utf-8", "replace"))
    assert "A" in "".join(found)
    assert "B" in "".join(found)
