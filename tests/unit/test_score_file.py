"""Files of scores, and what several checkpoints say together."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataflex_core.errors import DataError
from dataflex_core.judging import Judged, Judging, averaged, mean_rate
from dataflex_core.rows import Row
from dataflex_core.score_file import About, CheckpointFact, Lines, RowScores, open_scores, write_scores

pytestmark = pytest.mark.numeric

ABOUT = About(
    judge="selector less", params={"gradient": "adam"}, checkpoints=(CheckpointFact(path="c", step=2, weight=1.0),)
)


def row(number, file="data/a.json", dataset="a"):
    return Row(dataset=dataset, file=file, row=number)


def lines(ids, scores, rows):
    return Lines(
        ids=np.array(ids),
        scores={"score": np.array(scores, dtype=np.float32)},
        domains=["d"] * len(ids),
        rows=rows,
        digests=["00"] * len(ids),
    )


def test_a_file_is_read_back_in_parts_and_whole(tmp_path):
    path = tmp_path / "deep" / "scores.parquet"
    write_scores(path, ABOUT, [lines([0, 1], [0.5, np.nan], [(row(1),), (row(2), row(3))]), lines([2], [1.0], [()])])
    file = open_scores(path)
    assert file.about == ABOUT
    assert file.lines == 4
    assert file.read(["id"])["id"].tolist() == [0, 1, 1, 2]
    assert [batch["row"] for batch in file.batches(["row"], size=3)] == [[1, 2, 3], [None]]
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_text("before")

    def parts():
        yield lines([0], [1.0], [(row(1),)])
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_scores(path, ABOUT, parts())
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_of_scores_is_named(tmp_path):
    (tmp_path / "text").write_text("no")
    with pytest.raises(DataError, match="text cannot be read"):
        open_scores(tmp_path / "text")
    with pytest.raises(DataError, match="nowhere does not exist"):
        open_scores(tmp_path / "nowhere")
    later = pa.table({"id": [1]}).replace_schema_metadata({"dataflex": json.dumps({"schema": 99})})
    pq.write_table(later, tmp_path / "later")
    with pytest.raises(DataError, match="schema 99"):
        open_scores(tmp_path / "later")
    pq.write_table(pa.table({"scores": [1.0]}), tmp_path / "own")
    with pytest.raises(DataError, match="has no column score") as error:
        open_scores(tmp_path / "own").read(["score"])
    assert "scores" in error.value.hint


@pytest.mark.parametrize(
    ("told", "said"),
    [({"schema": 1}, "lacks judge"), ([], r"is \[\]"), ({"judge": "x", "schema": 1, "checkpoints": 3}, "checkpoints")],
)
def test_a_table_whose_metadata_says_something_else_is_named(tmp_path, told, said):
    pq.write_table(pa.table({"id": [1]}).replace_schema_metadata({"dataflex": json.dumps(told)}), tmp_path / "it")
    with pytest.raises(DataError, match=said) as caught:
        open_scores(tmp_path / "it")
    assert "it: metadata" in str(caught.value)
    assert "of a file of scores" in str(caught.value)


def test_what_a_later_version_says_besides_is_passed_over(tmp_path):
    told = {"judge": "x", "schema": 1, "more": 1, "checkpoints": [{"path": "c", "step": 2, "weight": 1, "more": 1}]}
    pq.write_table(pa.table({"id": [1]}).replace_schema_metadata({"dataflex": json.dumps(told)}), tmp_path / "it")
    assert open_scores(tmp_path / "it").about == About(
        judge="x", checkpoints=(CheckpointFact(path="c", step=2, weight=1.0),)
    )


@pytest.mark.parametrize(
    ("column", "values"), [("row", ["one"]), ("dataset", [1]), ("file", [1.5]), ("id", ["first"])], ids=str
)
def test_columns_by_which_rows_are_found_hold_what_they_should(tmp_path, column, values):
    table = {"dataset": ["a"], "file": ["a.json"], "row": [1], "id": [0], column: values}
    pq.write_table(pa.table(table), tmp_path / "it")
    file = open_scores(tmp_path / "it")
    for read in (file.read, lambda names: list(file.batches(names))):
        with pytest.raises(DataError, match=f"column {column} of .* holds"):
            read([column])


READS = {
    "whole": lambda file: file.read(["score"]),
    "in parts": lambda file: list(file.batches(["score"])),
    "places": lambda file: file.places(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_file_that_is_damaged_in_the_middle_is_named(tmp_path, read):
    path = tmp_path / "scores.parquet"
    many = range(2000)
    write_scores(path, ABOUT, [lines([*many], [*map(float, many)], [(row(i, f"{i}.json"),) for i in many])])
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\0" * (len(whole) * 3 // 4) + whole[4 + len(whole) * 3 // 4 :])
    file = open_scores(path)
    with pytest.raises(DataError, match=r"scores\.parquet is damaged: ") as told:
        read(file)
    assert told.value.hint


def test_rows_are_found_by_data_set_file_name_and_number(tmp_path):
    write_scores(
        tmp_path / "s",
        ABOUT,
        [lines([0, 1, 2, 3], [1, 2, 3, 4], [(row(2),), (row(1),), (row(1, "data/b.json"),), (row(1, dataset="c"),)])],
    )
    known = RowScores(tmp_path / "s")
    found = known.of(
        [
            (row(1, "elsewhere/a.json"),),
            (row(2),),
            (row(1), row(2)),
            (row(1, "b.json"),),
            (row(1, dataset="c"),),
            (row(9),),
            (row(9), row(2)),
            (row(1, dataset="unknown"),),
            (),
        ]
    )
    np.testing.assert_array_equal(found, np.array([2, 1, 1.5, 3, 4, np.nan, 1, np.nan, np.nan], dtype=np.float32))


def test_a_table_of_ones_own_may_have_any_numbers_and_no_text(tmp_path):
    table = {"dataset": ["a", None], "file": ["a.json", None], "row": [7, None], "mine": [3, 4], "word": ["x", "y"]}
    pq.write_table(pa.table(table), tmp_path / "own")
    assert RowScores(tmp_path / "own", "mine").of([(row(7),), ()]).tolist()[:1] == [3.0]
    with pytest.raises(DataError, match="holds no numbers"):
        RowScores(tmp_path / "own", "word")


def test_the_largest_is_taken_of_the_means():
    first = Judged(values=np.array([[1.0, 0.0]], dtype=np.float32), names=("x", "y"), largest=True, learning_rate=3.0)
    last = Judged(values=np.array([[0.0, 1.0]], dtype=np.float32), names=("x", "y"), largest=True, learning_rate=1.0)
    made, weights = averaged([first, last])
    assert weights == (0.75, 0.25)
    assert {name: values.tolist() for name, values in made.columns().items()} == {
        "score": [0.75],
        "score_x": [0.75],
        "score_y": [0.25],
    }


def test_columns_of_a_selectors_own_have_no_single_score():
    assert list(Judged(values=np.zeros((2, 2), dtype=np.float32), names=("0", "1")).columns()) == ["score_0", "score_1"]


@pytest.mark.parametrize(("rates", "wanted"), [((0.0, 0.0), (0.5, 0.5)), ((0.0, 2.0), (0.0, 1.0))])
def test_a_learning_rate_of_zero_counts_for_nothing_unless_all_are(rates, wanted):
    judged = [
        Judged(values=np.full((1, 1), v, dtype=np.float32), learning_rate=r) for v, r in zip((1, 3), rates, strict=True)
    ]
    made, weights = averaged(judged)
    assert weights == wanted
    assert made.values.item() == pytest.approx(sum(w * v for w, v in zip(wanted, (1, 3), strict=True)))


def test_the_learning_rate_is_the_mean_since_the_checkpoint_before():
    history = [{"step": s, "learning_rate": s / 10} for s in range(1, 7)] + [{"step": 4, "eval_loss": 1.0}]
    assert mean_rate(history, "learning_rate", 2, 4) == pytest.approx(0.35)
    assert mean_rate(history, "learning_rate", 6, 9) is None


def test_what_is_asked_for_survives_json():
    judging = Judging(out="o", checkpoints=("a", "b"), signal="losses")
    assert Judging.from_plain(json.loads(json.dumps(judging.to_plain()))) == judging
