"""Samples of a target set in the pool: the same text, whatever its case, spaces and tokens."""

from __future__ import annotations

import datasets
import numpy as np
import pytest

from dataflex_core.trainer.leaks import samples_in

WORDS = ["", "One", "one", " two", "Two", "\n", "three", "thr", "ee", "on", "e ", "4", "5", "ß", "SS", "x"]
TARGET = ["one two three", "45"]
POOL = {
    "One Two\nthree": True,
    " two one three": False,
    "one twothree": True,
    "54": False,
    "5 4": False,
    "4 5": True,
    "one two three x": False,
    "x": False,
}


def tokens_of(text: str) -> list[int]:
    """The longest words first."""
    found = []
    while text:
        word = max((w for w in WORDS if w and text.startswith(w)), key=len, default=text[0])
        found.append(WORDS.index(word) if word in WORDS else 0)
        text = text[len(word) :]
    return found


def rows_of(texts, **columns):
    return [{"input_ids": tokens_of(text), "labels": tokens_of(text), **columns} for text in texts]


def decode(tokens):
    return "".join(WORDS[token] for token in tokens)


@pytest.mark.parametrize("make", [list, datasets.Dataset.from_list], ids=["list", "table"])
def test_the_same_text_is_found_in_the_whole_pool(make):
    pool = make(rows_of([*POOL] * 300))
    found = samples_in(pool, [make(rows_of(TARGET)), make(rows_of(["nothing"]))], decode)
    assert found.tolist() == [i for i, leaked in enumerate([*POOL.values()] * 300) if leaked]


def test_letters_of_two_cases_that_differ_in_number_are_the_same():
    assert samples_in(rows_of(["ß", "x"]), [rows_of(["SS"])], decode).tolist() == [0]


def test_samples_with_more_than_text_may_be_others():
    assert samples_in(rows_of(["x"], images=["a.png"]), [rows_of(["x"])], decode).tolist() == []


def test_without_target_sets_or_samples_there_is_nothing():
    assert samples_in(rows_of(POOL), [], decode).dtype == np.int64
    assert samples_in([], [rows_of(TARGET)], decode).tolist() == []
