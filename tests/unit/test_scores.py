"""Scores of decisions: appended to one file, read back, bounded, and gone on with."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from dataflex_core.journal import scores as module
from dataflex_core.journal.scores import ScoreFiles, read_scores

RUN = "a" * 32
IDS = np.array([3, 5, 8, 13])


@pytest.fixture
def folder(tmp_path):
    start = {
        "event": "start",
        "schema": 2,
        "run": RUN,
        "strategies": [],
        "domains": {},
        "targets": {},
        "steps": 1,
        "warmup_steps": 0,
        "update_steps": 1,
        "decisions": 1,
        "global_batch": 1,
        "ranks": 1,
        "judged": 4,
        "decision_cost": 0.0,
        "step_cost": 0.0,
        "seed": 0,
    }
    (tmp_path / "journal.jsonl").write_text(json.dumps(start) + "\n", encoding="utf-8")
    return tmp_path


def files(folder, told=None, run=RUN):
    return ScoreFiles(folder, run=lambda: run, notice=[].append if told is None else told.append)


def values(count, columns=None):
    shape = (count,) if columns is None else (count, columns)
    return np.random.default_rng(count).random(shape, dtype=np.float32)


def test_what_is_judged_is_read_back_bit_by_bit(folder):
    written, scores = files(folder), [values(4), np.array([np.nan, 1, -np.inf, 2], dtype=np.float32)]
    plan = np.array([8, 3, 8, 99])
    for decision, each in enumerate(scores, start=1):
        written.write(decision, IDS, each, plan, step=decision)
    found = list(read_scores(folder))
    assert [each.decision for each in found] == [1, 2]
    for each, expected in zip(found, scores, strict=True):
        np.testing.assert_array_equal(each.scores, expected)
        assert each.ids.tolist() == IDS.tolist()
        assert each.chosen.tolist() == [1, 0, 2, 0]
        assert each.stands_for.tolist() == [1.0] * 4


def test_decisions_append_to_one_file_which_others_read_as_a_table(folder):
    written = files(folder)
    for decision in range(1, 51):
        written.write(decision, IDS, values(4), IDS[:2], step=decision)
    (path,) = (folder / "scores").iterdir()
    table = pa.ipc.open_stream(path.read_bytes()).read_all()
    assert table.column_names == ["decision", "step", "id", "score", "chosen", "stands_for"]
    assert table["decision"].to_pylist() == [decision for decision in range(1, 51) for _ in IDS]


def test_decisions_of_one_number_are_told_apart_by_their_steps(folder):
    written = files(folder)
    for step in (2, 4, 4):
        written.write(1, IDS, values(4), IDS[:2], step=step)
    assert [(each.decision, each.step) for each in read_scores(folder)] == [(1, 2), (1, 4)]


def test_a_file_that_is_large_is_followed_by_another(folder, monkeypatch):
    monkeypatch.setattr(module, "_FILE", 2000)
    written = files(folder)
    for decision in range(1, 21):
        written.write(decision, IDS, values(4), IDS[:2], step=decision)
    sizes = [path.stat().st_size for path in sorted((folder / "scores").iterdir())]
    assert len(sizes) > 2
    assert max(sizes) < 3000
    assert [each.decision for each in read_scores(folder)] == list(range(1, 21))


def test_columns_of_scores_and_other_numbers_of_them(folder):
    written = files(folder)
    for decision, columns in enumerate((2, 2, 3, None), start=1):
        written.write(decision, IDS, values(4, columns), IDS[:1], step=decision)
    assert [each.scores.shape for each in read_scores(folder)] == [(4, 2), (4, 2), (4, 3), (4,)]
    assert len(list((folder / "scores").iterdir())) == 3
    np.testing.assert_array_equal(list(read_scores(folder))[2].scores, values(4, 3))


@pytest.mark.numeric
def test_of_very_many_all_chosen_are_kept_and_the_others_at_even_ranks(folder, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 1000)
    monkeypatch.setattr(module, "_KEPT", 100)
    ids, scores = np.arange(5000), values(5000)
    plan = np.random.default_rng(0).choice(ids, 50, replace=False)
    files(folder).write(1, ids, scores, plan, step=1)
    (found,) = read_scores(folder)
    assert len(found.ids) == 150
    assert set(found.ids[found.chosen > 0]) == set(plan)
    np.testing.assert_array_equal(found.scores, scores[found.ids])
    assert found.stands_for.sum() == pytest.approx(5000)
    below = found.stands_for[found.scores < 0.3].sum() / 5000
    assert below == pytest.approx(np.mean(scores < 0.3), abs=0.011), "a quantile is off by a rank's width"


@pytest.mark.parametrize("cut", [1, 100])
def test_what_a_killed_run_left_of_its_last_decision_is_passed_over(folder, cut):
    written = files(folder)
    for decision in (1, 2, 3):
        written.write(decision, IDS, values(4), IDS[:2], step=decision)
    (path,) = (folder / "scores").iterdir()
    path.write_bytes(path.read_bytes()[:-cut])
    assert [each.decision for each in read_scores(folder)] == [1, 2]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_that_goes_on_drops_what_came_after_its_checkpoint(folder, tmp_path, monkeypatch, elsewhere):
    monkeypatch.setattr(module, "_FILE", 2000)
    written = files(folder)
    for decision in range(1, 8):
        written.write(decision, IDS, values(4), IDS[:2], step=decision)
    position = json.loads(json.dumps(written.position()))
    for decision in range(8, 21):
        written.write(decision, IDS, values(4), IDS[:2], step=decision)
    target = tmp_path / "other" if elsewhere else folder
    target.mkdir(exist_ok=True)
    if elsewhere:
        (target / "journal.jsonl").write_bytes((folder / "journal.jsonl").read_bytes())
    again = files(target)
    again.go_on(folder / "scores", position)
    assert [each.decision for each in read_scores(target)] == list(range(1, 8))
    for decision in (8, 9):
        again.write(decision, IDS, values(4), IDS[:2], step=decision)
    assert [each.decision for each in read_scores(target)] == list(range(1, 10))
    assert [each.decision for each in read_scores(folder)][-1] == (20 if elsewhere else 9)


def test_a_decision_that_was_taken_again_is_given_once_as_it_was_taken_last(folder):
    file = files(folder)
    for decision, value in ((1, 1.0), (2, 2.0), (1, 3.0), (2, 4.0), (3, 5.0)):
        file.write(decision, np.arange(4), np.full(4, value, dtype=np.float32), np.arange(2), step=decision)
    assert [(each.decision, each.scores[0]) for each in read_scores(folder)] == [(1, 3.0), (2, 4.0), (3, 5.0)]


def test_a_run_that_had_none_goes_on_with_none(folder):
    written = files(folder)
    position = written.position()
    written.write(1, IDS, values(4), IDS, step=1)
    again = files(folder)
    again.go_on(folder / "scores", position)
    assert list(read_scores(folder)) == []
    again.write(1, IDS, values(4), IDS, step=1)
    assert [each.decision for each in read_scores(folder)] == [1]


def test_other_runs_of_the_folder_keep_theirs(folder):
    files(folder, run="b" * 32).write(9, IDS, values(4), IDS, step=9)
    files(folder).write(1, IDS, values(4), IDS, step=1)
    assert [each.decision for each in read_scores(folder)] == [1]
    assert len(list((folder / "scores").iterdir())) == 2


def test_scores_that_cannot_be_written_are_told_once_and_end_nothing(folder):
    (folder / "scores").write_text("")
    told = []
    written = files(folder, told)
    for decision in (1, 2):
        written.write(decision, IDS, values(4), IDS, step=decision)
    assert [" could not be written" in text for text in told] == [True]


def test_nothing_is_written_where_nothing_may_be(folder):
    ScoreFiles(None, run=lambda: RUN, notice=pytest.fail).write(1, IDS, values(4), IDS, step=1)
    assert not (folder / "scores").exists()
    assert list(read_scores(folder)) == []
