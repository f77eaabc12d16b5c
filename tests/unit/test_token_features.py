"""Features of samples by their tokens, and tables of features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from dataflex_core.planning.feature_tables import read_table, side_by_side, standardise, write_table
from dataflex_core.planning.token_features import WIDTH, token_features

pytestmark = pytest.mark.numeric


def texts(count=900, seed=0):
    """Half about some tokens, half about others, of many lengths."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 40, rng.integers(5, 60)).tolist()
        + rng.integers(1000 * (i % 2 + 1), 1000 * (i % 2 + 1) + 90, 30).tolist()
        for i in range(count)
    ]


def features(folder, rows, **how):
    path = folder / "features.npy"
    write_table(path, len(rows), WIDTH, lambda table: token_features(lambda i, j: rows[i:j], table, **how))
    assert [file.name for file in folder.iterdir()] == ["features.npy"]
    return read_table(path)


def test_products_are_those_of_tf_idf_but_for_the_folding(tmp_path):
    rows = texts()
    found = features(tmp_path, rows).astype("f8")
    plain = TfidfVectorizer(analyzer=lambda row: row, sublinear_tf=True).fit_transform(
        [[str(t) for t in r] for r in rows]
    )
    expected = (plain @ plain.T).toarray()
    apart = np.abs(found @ found.T - expected)
    assert apart.mean() < 0.08
    assert np.corrcoef((found @ found.T).ravel(), expected.ravel())[0, 1] > 0.8


def test_rows_have_length_one_and_one_kilobyte(tmp_path):
    found = features(tmp_path, [*texts(20), []])
    assert (found.shape, found.dtype) == ((21, WIDTH), np.float16)
    np.testing.assert_allclose(np.linalg.norm(found[:20].astype("f8"), axis=1), 1, rtol=1e-2)
    assert not found[20].any()


def test_they_depend_on_the_seed_and_nothing_else(tmp_path):
    rows = texts(50)
    first = np.array(features(tmp_path, rows))
    np.testing.assert_array_equal(features(tmp_path, [np.array(row) for row in rows]), first)
    assert not np.array_equal(features(tmp_path, rows, seed=1), first)


def test_blocks_make_no_difference(tmp_path, monkeypatch):
    rows = texts(50)
    first = np.array(features(tmp_path, rows))
    monkeypatch.setattr("dataflex_core.planning.token_features._BLOCK", 7)
    np.testing.assert_array_equal(features(tmp_path, rows), first)


def test_tokens_beyond_the_buckets_count_too(tmp_path):
    found = features(tmp_path, [[5, 2**18 + 1], [5, 2**18 + 1], [6, 9]])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_states_are_brought_to_one_scale_whatever_their_blocks(monkeypatch):
    """Whatever all rows share, and however large one of their numbers is, says nothing."""
    rows = np.random.default_rng(0).standard_normal((60, 8)) * [1, 1, 1, 1, 1, 1, 1, 300] + 5
    table = rows.astype("f2")
    standardise(table)
    np.testing.assert_allclose(np.linalg.norm(table.astype("f8"), axis=1), 1, rtol=1e-2)
    assert np.abs(table.mean(axis=0, dtype="f8")).max() < 0.1
    assert table.std(axis=0, dtype="f8").max() < 1.5 * table.std(axis=0, dtype="f8").min()
    again = rows.astype("f2")
    monkeypatch.setattr("dataflex_core.planning.feature_tables._BLOCK", 7)
    standardise(again)
    np.testing.assert_allclose(again.astype("f4"), table.astype("f4"), atol=1e-3)
    constant = np.ones((5, 3), dtype="f2")
    standardise(constant)
    assert not constant.any()


def test_features_of_two_kinds_weigh_alike():
    a, b = np.eye(3, 5, dtype="f2"), np.eye(3, 9, dtype="f2")
    both = side_by_side([a, b])
    np.testing.assert_allclose(both @ both.T, (a @ a.T + b @ b.T) / 2, atol=1e-6)
    assert side_by_side([a]) is a
