"""`dataflex export`: rows as they stand in their files, each once, with an entry for the index."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from made_run import ROWS, made_run, write_file, write_index

from dataflex_cli import picks
from dataflex_cli.main import cli
from dataflex_core.errors import DataError, InvalidConfig
from dataflex_core.journal import open_run
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.rows import Row
from dataflex_core.score_file import About, Lines, write_scores

pytestmark = pytest.mark.numeric


def called(*words):
    done = CliRunner().invoke(cli, ["export", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def exported(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def scores_of(folder, files, scores, **more):
    """A file of scores of the rows of some files, a data set each, one after the other."""
    rows = [(Row(dataset=file.stem, file=str(file), row=n),) for file, count in files for n in range(1, count + 1)]
    part = Lines(
        ids=np.arange(len(rows)),
        scores={"score": np.array(scores, dtype=np.float32), **more},
        domains=["d"] * len(rows),
        rows=rows,
        digests=[None] * len(rows),
    )
    write_scores(folder / "scores.parquet", About(judge="signal losses", dataset_dir=str(folder)), [part])
    return folder / "scores.parquet"


@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".parquet"])
def test_rows_stand_as_in_their_file_and_the_entry_keeps_what_says_how_they_are_read(tmp_path, suffix):
    file = tmp_path / f"mine{suffix}"
    write_file(file, ROWS)
    entry = {"columns": {"prompt": "instruction", "response": "output"}, "formatting": "alpaca", "tags": {"a": "b"}}
    write_index(tmp_path, mine={"file_name": file.name, "num_samples": 5, "split": "train[:9]", **entry})
    scores = scores_of(tmp_path, [(file, 10)], [0, 9, 1, 8, 2, 7, np.nan, 6, 3, 5])
    done = called(scores, "--top", "30%", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == [ROWS[1], ROWS[3], ROWS[5]]
    assert json.loads(done.stdout) == {"best": {"file_name": "best.jsonl", **entry}}
    assert "best.jsonl: 3 rows of mine" in done.stderr


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_what_is_exported_can_be_trained_on_by_its_entry(tmp_path, suffix):
    from datasets import load_dataset
    from llamafactory.extras.constants import FILEEXT2TYPE

    write_file(tmp_path / "mine.json", ROWS)
    scores = scores_of(tmp_path, [(tmp_path / "mine.json", 10)], range(10))
    (entry,) = json.loads(called(scores, "--top", "100%", "-o", tmp_path / f"best{suffix}").stdout).values()
    name = tmp_path / entry["file_name"]
    kind = FILEEXT2TYPE[name.suffix[1:]]
    found = load_dataset(kind, data_files=str(name), split="train", cache_dir=str(tmp_path / "cache"))
    assert found["instruction"] == [row["instruction"] for row in ROWS]


@pytest.mark.parametrize("name", ["best.csv", "best.txt", "best.parquet", "best.JSON", "best"])
def test_no_name_is_taken_by_which_the_file_would_be_read_as_another_kind(tmp_path, name):
    write_file(tmp_path / "mine.json", ROWS)
    scores = scores_of(tmp_path, [(tmp_path / "mine.json", 10)], range(10))
    with pytest.raises(InvalidConfig, match="is to hold JSON Lines"):
        called(scores, "--top", "1", "-o", tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("base", [1_700_000_000, 2**45])
def test_columns_are_ranked_by_all_their_digits(tmp_path, base):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "mine.jsonl"
    write_file(file, ROWS)
    write_index(tmp_path, mine={"file_name": file.name})
    scores = scores_of(tmp_path, [(file, 10)], range(10))
    table = pq.read_table(scores)
    made = pa.array([base + digit for digit in (0, 50, 10, 60, 30, 20, 5, 1, 2, 3)])
    pq.write_table(table.append_column("made", made), scores)
    called(scores, "--top", "3", "--by", "made", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == [ROWS[1], ROWS[3], ROWS[4]]


def test_half_a_surrogate_pair_is_written_as_json_escapes_it(tmp_path):
    file = tmp_path / "mine.jsonl"
    rows = [{"instruction": "a \ud83d \udc80 b", "output": "é 数 🎉 \\ud800"}, {"\udfff": ["\ud800"]}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    write_index(tmp_path, mine={"file_name": file.name})
    called(scores_of(tmp_path, [(file, 2)], [1, 2]), "--top", "2", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == rows
    assert "é 数 🎉" in (tmp_path / "best.jsonl").read_text(encoding="utf-8")


def test_values_that_are_missing_in_a_csv_file_are_null(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("instruction,output,n\na,b,1\nc,,2\n")
    called(scores_of(tmp_path, [(file, 2)], [1, 2]), "--top", "2", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == [
        {"instruction": "a", "output": "b", "n": 1},
        {"instruction": "c", "output": None, "n": 2},
    ]


def test_several_data_sets_are_a_file_each(tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.jsonl"]
    for file in files:
        write_file(file, ROWS)
    write_index(tmp_path, one={"file_name": "one.json", "formatting": "sharegpt"}, two={"file_name": "two.jsonl"})
    scores = scores_of(tmp_path, [(file, 10) for file in files], [*range(10), *range(10, 0, -1)])
    done = called(scores, "--top", "3", "-o", tmp_path / "out" / "best.jsonl")
    assert exported(tmp_path / "out" / "best-one.jsonl") == [ROWS[9]]
    assert exported(tmp_path / "out" / "best-two.jsonl") == ROWS[:2]
    assert "best-one.jsonl: 1 row of one\n" in done.stderr
    assert json.loads(done.stdout) == {
        "best-one": {"file_name": "best-one.jsonl", "formatting": "sharegpt"},
        "best-two": {"file_name": "best-two.jsonl"},
    }


def test_data_sets_may_be_called_as_no_file_can_be(tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        write_file(file, ROWS)
    write_index(tmp_path, **{"some/one": {"file_name": "one.json"}, "two": {"file_name": "two.json"}})
    rows = [(Row(dataset=name, file=str(file), row=1),) for name, file in zip(("some/one", "two"), files, strict=True)]
    part = Lines(
        ids=np.arange(2), scores={"score": np.ones(2, np.float32)}, domains=["d"] * 2, rows=rows, digests=[None] * 2
    )
    write_scores(tmp_path / "scores.parquet", About(judge="signal losses", dataset_dir=str(tmp_path)), [part])
    done = called(tmp_path / "scores.parquet", "--top", "2", "-o", tmp_path / "best.jsonl")
    entries = json.loads(done.stdout)
    assert {name: entry["file_name"] for name, entry in entries.items()} == {
        name: f"{name}.jsonl" for name in ("best-some%2Fone", "best-two")
    }
    assert exported(tmp_path / "best-some%2Fone.jsonl") == ROWS[:1]


def test_another_column_can_be_gone_by(tmp_path):
    file = tmp_path / "mine.json"
    write_file(file, ROWS)
    scores = scores_of(tmp_path, [(file, 10)], range(10), score_x=np.arange(10, 0, -1))
    called(scores, "--top", "1", "--by", "score_x", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == ROWS[:1]
    with pytest.raises(DataError, match="has no column score_y"):
        called(scores, "--top", "1", "--by", "score_y", "-o", tmp_path / "best.jsonl")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "how many of the best"),
        (["--chosen"], "nothing was chosen by scores"),
        (["--chosen", "--top", "1"], "exclude"),
    ],
)
def test_a_file_of_scores_is_asked_for_its_best(tmp_path, words, said):
    file = tmp_path / "mine.json"
    write_file(file, ROWS)
    with pytest.raises(InvalidConfig, match=said):
        called(scores_of(tmp_path, [(file, 10)], range(10)), *words, "-o", tmp_path / "best.jsonl")


@pytest.mark.parametrize(("amount", "of", "are"), [("7%", 100, 7), ("0.1%", 3000, 3), ("7.5%", 100, 8), ("100%", 9, 9)])
def test_a_share_is_what_its_decimals_say_and_what_is_over_one_more(amount, of, are):
    assert picks.amount(None, None, amount).of(of) == are


@pytest.mark.parametrize("amount", ["0", "0%", "101%", "-3", "many", "1.5", "9" * 5000, "9" * 5000 + "%"])
def test_what_is_no_amount_is_refused(tmp_path, amount):
    assert called(tmp_path, f"--top={amount}", "-o", tmp_path / "x").exit_code == 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"row": [1, None]}, "names the file, .*, alone"),
        ({"row": [1.0, np.nan]}, "names the file, .*, alone"),
        ({"row": [1, 0]}, "names the file, .*, alone"),
        ({"dataset": ["mine", None]}, "names the file, .*, alone"),
        ({"row": ["1", "2"]}, "the column row of .* holds string"),
        ({"id": [0, None]}, "the column id of .* has places without a number"),
    ],
    ids=str,
)
def test_a_table_of_ones_own_that_names_no_rows_is_told_so(tmp_path, changes, said):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "mine.json"
    write_file(file, ROWS)
    table = {"id": [0, 1], "score": [1.0, 2.0], "dataset": ["mine"] * 2, "file": [str(file)] * 2, "row": [1, 2]}
    pq.write_table(pa.table(table | changes), tmp_path / "own.parquet")
    with pytest.raises(DataError, match=said):
        called(tmp_path / "own.parquet", "--top", "100%", "-o", tmp_path / "best.jsonl")


def test_a_file_that_has_changed_or_is_gone_is_named(tmp_path):
    file = tmp_path / "mine.json"
    write_file(file, ROWS[:5])
    scores = scores_of(tmp_path, [(file, 10)], range(10))
    with pytest.raises(DataError, match=r"mine\.json has fewer rows than the 10"):
        called(scores, "--top", "1", "-o", tmp_path / "best.jsonl")
    file.unlink()
    with pytest.raises(DataError, match=r"mine\.json is not there"):
        called(scores, "--top", "1", "-o", tmp_path / "best.jsonl")
    assert not (tmp_path / "best.jsonl").exists()


def test_nothing_is_written_where_the_file_of_one_of_several_data_sets_is_gone(tmp_path):
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file in files:
        write_file(file, ROWS)
    scores = scores_of(tmp_path, [(file, 10) for file in files], range(20))
    files[1].unlink()
    with pytest.raises(DataError, match=r"two\.json is not there"):
        called(scores, "--top", "100%", "-o", tmp_path / "best.jsonl")
    assert list(tmp_path.glob("best*")) == []


def test_nothing_is_written_where_a_row_of_one_of_several_data_sets_cannot_be_read(tmp_path):
    files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for file in files:
        write_file(file, ROWS)
    scores = scores_of(tmp_path, [(file, 10) for file in files], range(20))
    files[1].write_text(files[1].read_text().rpartition("\n")[0][:-4])
    before = contents(tmp_path)
    with pytest.raises(DataError, match=r"two\.jsonl"):
        called(scores, "--top", "100%", "-o", tmp_path / "best.jsonl")
    assert contents(tmp_path) == before


def contents(folder):
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def two(tmp_path):
    """Scores of two data sets, of which the second has the better rows and a file that is called like a target."""
    files = [tmp_path / "a.jsonl", tmp_path / "top-a.jsonl"]
    for file in files:
        write_file(file, ROWS)
    write_index(tmp_path, a={"file_name": "a.jsonl"}, b={"file_name": "top-a.jsonl"})
    rows = [(Row(dataset=name, file=str(file), row=n),) for name, file in zip("ab", files, strict=True) for n in (1, 2)]
    scores = {"score": np.arange(4, dtype=np.float32)}
    part = Lines(ids=np.arange(4), scores=scores, domains=["d"] * 4, rows=rows, digests=[None] * 4)
    write_scores(tmp_path / "scores.parquet", About(judge="x", dataset_dir=str(tmp_path)), [part])
    (tmp_path / "sub").mkdir()
    (tmp_path / "here").symlink_to(tmp_path)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "a.jsonl")
    return tmp_path


@pytest.mark.parametrize(
    ("top", "out"),
    [
        ("1", "top-a.jsonl"),
        ("1", "a.jsonl"),
        ("1", "sub/../top-a.jsonl"),
        ("1", "here/top-a.jsonl"),
        ("1", "link.jsonl"),
        ("1", "held.json"),  # nothing of it is read
        ("100%", "top.jsonl"),  # of which that of the first data set is the second's own
    ],
)
def test_no_file_is_written_over_however_it_is_spelt(two, top, out):
    (two / "held.json").write_text("[]")
    before = contents(two)
    with pytest.raises(InvalidConfig, match="exists"):
        called(two / "scores.parquet", "--top", top, "-o", f"{two}/{out}")
    assert contents(two) == before


def test_a_file_that_is_made_meanwhile_is_left(two, monkeypatch):
    def meanwhile(file, rows):
        (two / "best.jsonl").write_text("theirs")
        return 1

    monkeypatch.setattr("dataflex_core.llamafactory.datasets.taken.write_lines", meanwhile)
    with pytest.raises(InvalidConfig, match="exists"):
        called(two / "scores.parquet", "--top", "1", "-o", two / "best.jsonl")
    assert (two / "best.jsonl").read_text() == "theirs"


def test_data_sets_of_all_names_have_files_of_their_own(tmp_path):
    write_file(tmp_path / "one.json", ROWS)
    names = ("a/b", "a%2Fb", "a\\b", "a%5Cb")
    rows = [(Row(dataset=name, file=str(tmp_path / "one.json"), row=n),) for n, name in enumerate(names, 1)]
    part = Lines(ids=np.arange(4), scores={"score": np.ones(4, "f4")}, domains=["d"] * 4, rows=rows, digests=[None] * 4)
    write_scores(tmp_path / "scores.parquet", About(judge="x", dataset_dir=str(tmp_path)), [part])
    called(tmp_path / "scores.parquet", "--top", "100%", "-o", tmp_path / "best.jsonl")
    assert sorted(exported(file)[0]["instruction"] for file in tmp_path.glob("best-*")) == ["q1", "q2", "q3", "q4"]


def test_a_file_that_moved_with_its_index_is_found_there(tmp_path):
    file = tmp_path / "mine.json"
    write_file(file, ROWS)
    rows = [(Row(dataset="mine", file="gone/mine.json", row=2),)]
    part = Lines(ids=np.arange(1), scores={"score": np.ones(1, "f4")}, domains=["d"], rows=rows, digests=[None])
    write_scores(tmp_path / "s.parquet", About(judge="x", dataset_dir=str(tmp_path)), [part])
    called(tmp_path / "s.parquet", "--top", "1", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == ROWS[1:2]


@pytest.fixture
def run(tmp_path):
    """The output folder of a run, as `made_run` leaves it."""
    return made_run(tmp_path)


def test_what_a_run_chose_is_exported_without_its_warm_up(run, tmp_path):
    called(run, "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best-a.jsonl") == ROWS[2:4]
    assert exported(tmp_path / "best-b.jsonl") == ROWS[4:6], "all rows of a packed sample"


def test_the_best_of_a_run_are_those_of_its_last_decision(run, tmp_path):
    called(run, "--top", "2", "-o", tmp_path / "best.jsonl")
    assert exported(tmp_path / "best.jsonl") == ROWS[:2]


@pytest.mark.parametrize(("top", "is_told"), [("50%", False), ("100%", False), ("1", True)])
def test_of_scores_of_what_was_chosen_alone_no_share_is_taken(run, tmp_path, top, is_told):
    journal = run / "dataflex" / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"judged": 15', '"judged": 150'))
    words = (run, "--top", top, "-o", tmp_path / "best.jsonl")
    if is_told:
        assert called(*words).exit_code == 0
    else:
        with pytest.raises(DataError, match="scores of what it chose alone") as told:
            called(*words)
        assert "--chosen" in told.value.hint


@pytest.mark.parametrize("top", ["100%", "1"])
def test_of_scores_of_which_some_are_kept_there_is_no_best(run, tmp_path, monkeypatch, top):
    (journal,) = run.rglob("journal.jsonl")
    monkeypatch.setattr("dataflex_core.journal.scores._MOST", 14)
    monkeypatch.setattr("dataflex_core.journal.scores._KEPT", 4)
    kept = ScoreFiles(run / "dataflex", run=lambda: open_run(journal).start.run, notice=print)
    kept.write(2, np.arange(15), np.arange(15, dtype=np.float32), np.array([12, 3]), step=2)
    with pytest.raises(DataError, match="kept scores of 6 of the 15 samples") as told:
        called(run, "--top", top, "-o", tmp_path / "best.jsonl")
    assert "dataflex score" in told.value.hint


def test_a_run_that_kept_no_rows_says_so(run, tmp_path):
    for file in (run / "dataflex" / "rows").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="does not say which rows its samples are of"):
        called(run, "-o", tmp_path / "best.jsonl")
