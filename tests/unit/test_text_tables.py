"""Tables of texts for trackers, and the texts of single tokens."""

from __future__ import annotations

import pytest
import torch

from dataflex_core.journal.texts import Piece, Shown, Text, Weighed
from dataflex_core.trainer.text_tables import COLUMNS, markdown_of, row_of
from dataflex_core.trainer.weighed_tokens import table_of, token_texts, weighed_of

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


def test_weights_are_told_with_the_tokens_that_they_are_of():
    rows = [
        {"input_ids": [65, 66, 67, 68], "labels": [-100, -100, 67, 68]},
        {"input_ids": [65, 66], "labels": [-100, 66]},
    ]
    mask = torch.tensor([[False, True, True, False], [True, False, False, False]])
    weights = torch.tensor([[9.0, 0.5, 1.75, 9.0], [2.0, 9.0, 9.0, 9.0]])
    table = table_of(torch.tensor([7, 1]), weights, mask).numpy()
    first, second = (
        weighed_of(4, each, row, lambda ids: bytes(ids).decode()) for each, row in zip(table, rows, strict=True)
    )
    assert first == Weighed(step=4, sample=7, tokens=("C", "D"), weights=(0.5, 1.75))
    assert second == Weighed(step=4, sample=1, tokens=("B",), weights=(2.0,))
    assert weighed_of(4, table[0], rows[1], str) is None


PACKED = {
    "input_ids": [65, 66, 67, 68, 69, 70, 71, 72],
    "labels": [-100, 66, -100, -100, -100, 70, 71, -100],
    "position_ids": [0, 1, 0, 1, 0, 1, 2, 0],  # the second is cut before its answer, the last fills up
}


@pytest.mark.parametrize(
    ("at", "tokens", "part"),
    [([0], ("B",), 1), ([4, 5], ("F", "G"), 3), ([4], None, 0), ([0, 4], None, 0), ([8], None, 0)],
    ids=["the first", "the third", "part of one", "of two", "beyond"],
)
def test_weights_of_a_packed_sample_are_told_with_its_own_tokens(at, tokens, part):
    mask = torch.zeros(1, 9, dtype=torch.bool)
    mask[0, at] = True
    weights = torch.arange(9.0)[None]
    (row,) = table_of(torch.tensor([7]), weights, mask).numpy()
    found = weighed_of(4, row, PACKED, lambda ids: bytes(ids).decode())
    expected = Weighed(step=4, sample=7, tokens=tokens, weights=tuple(map(float, at)), part=part) if tokens else None
    assert found == expected


def test_a_token_that_is_torn_for_good_is_shown_so():
    found = token_texts([0xF0, 65, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 66], lambda ids: bytes(ids).decode("utf-8", "replace"))
    assert "A" in "".join(found)
    assert "B" in "".join(found)
