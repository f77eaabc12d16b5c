"""The look into data sets: each kind of fault is told with its file, row and line, and sound data have none."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys

import pyarrow as pa
import pytest
from data_cases import BAD_CHAT, CHAT, FAULTY, SOUND, Case, chat, lines, qa, write_case
from pyarrow import parquet

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.datasets import json_tables, tables
from dataflex_core.llamafactory.datasets import look as looking
from dataflex_core.llamafactory.datasets.index import examine_index, stage_faults
from dataflex_core.llamafactory.datasets.look import look


def told(args, **how):
    """What is said of a configuration's data: faults, and notices."""
    of_index = [*examine_index(args)[1], *stage_faults(args)]
    found = look(args, **how)
    assert all(isinstance(fault, DataError) and fault.exit_code == 2 for fault in (*of_index, *found.faults))
    return [*map(str, of_index), *map(str, found.faults)], [*map(str, found.notices)]


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    """What the look itself does wrong is raised, not left to the loading."""
    monkeypatch.setattr(looking, "Mistake", ())


@pytest.mark.parametrize("content", ["[" * 100_000, '{"a":' * 100_000], ids=["lists", "objects"])
def test_an_index_that_is_nested_too_deep_is_told(content, tmp_path):
    (tmp_path / "dataset_info.json").write_text(content, encoding="utf-8")
    _, (fault,), _ = examine_index({"dataset": "mine", "dataset_dir": str(tmp_path)})
    assert "dataset_info.json cannot be read: it is nested too deep to be read" in str(fault)


@pytest.mark.parametrize("name", SOUND)
def test_sound_data_have_no_fault(name, tmp_path):
    assert told(write_case(SOUND[name], tmp_path)) == ([], [])


@pytest.mark.parametrize("name", FAULTY)
def test_each_fault_is_told(name, tmp_path):
    case = FAULTY[name]
    faults, left_out = told(write_case(case, tmp_path))
    assert (len(faults), len(left_out)) == (len(case.faults), len(case.left_out)), (faults, left_out)
    for expected, said in zip((*case.faults, *case.left_out), (*faults, *left_out), strict=True):
        assert expected in said
        assert said.startswith("dataset 'mine': ")
        assert said.endswith(")"), "what to do"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("\n" + lines(chat(), chat(("human", "a"), ("gpt", None))), 3),
        (json.dumps([chat(), chat(("human", "a"), ("gpt", None))]), 1),
        ("[\n" + lines(chat())[:-1] + ",\n\n" + lines(chat(("human", "a"), ("gpt", None))) + "]", 4),
    ],
    ids=["lines", "a list in a line", "a list"],
)
def test_the_line_of_a_row(content, line, tmp_path):
    (fault,), _ = told(write_case(Case(files={"mine.json": content}, entry=CHAT), tmp_path))
    assert f"row 2 (line {line}): message 2" in fault


def test_rows_between_broken_lines_are_looked_at_too(tmp_path):
    content = lines(chat(), "oops", chat(("human", "a"), ("gpt", None)), chat(("human", "a")))
    faults, left_out = told(write_case(Case(files={"mine.jsonl": content}, entry=CHAT), tmp_path))
    assert [re.sub(r".*jsonl, ", "", fault)[:17] for fault in faults] == ["line 2: the line ", "line 3: message 2"]
    assert "line 4 is left out" in left_out[0]


def test_the_second_file_of_a_folder(tmp_path):
    files = {"all/a.jsonl": lines(*qa(2)), "all/b.jsonl": lines(*qa(1), *qa(2, output=None))}
    faults, left_out = told(write_case(Case(files=files, entry={"file_name": "all"}), tmp_path))
    assert faults == []
    assert re.search(r"all/b\.jsonl, row 2 \(line 2\) is left out: .*; and 1 more row like it", left_out[0])


def test_what_num_samples_may_not_draw_is_no_fault(tmp_path):
    case = Case(files={"mine.json": [chat(), chat(("human", "a"), ("gpt", None))]}, entry={**CHAT, "num_samples": 1})
    faults, notes = told(write_case(case, tmp_path))
    assert faults == []
    assert "which ends the run where num_samples draws it" in notes[0]


@pytest.mark.parametrize(("drawn", "most"), [(80, 10), (100, 10), (200, 99), (99, None)])
def test_what_is_drawn_is_any_of_the_rows(drawn, most, tmp_path):
    """max_samples are the first of those that were drawn, not of the file."""
    bad = [*[BAD_CHAT] * 5, *[chat(("human", "a"))] * 5]
    case = Case(files={"mine.json": [*bad, *[chat()] * 90]}, entry={**CHAT, "num_samples": drawn})
    args = write_case(case, tmp_path)
    faults, notes = told(args if most is None else {**args, "max_samples": most}, each=True)
    assert faults == []
    assert [("where num_samples draws it" in note, "4 more" in note) for note in notes] == [(True, True), (False, True)]


def test_of_a_split_that_is_drawn_no_other_row_is_told(tmp_path):
    entry = {**CHAT, "split": "train[2:]", "num_samples": 1}
    faults, notes = told(
        write_case(Case(files={"mine.json": [BAD_CHAT, chat(), chat(), chat()]}, entry=entry), tmp_path)
    )
    assert (faults, notes) == ([], [])


def test_a_data_set_of_which_any_draw_is_empty_is_told(tmp_path):
    case = Case(files={"mine.json": qa(9, output=None)}, entry={"num_samples": 4}, args={"max_samples": 2})
    (fault,), _ = told(write_case(case, tmp_path), each=True)
    assert "all 9 rows are left out" in fault


def test_a_data_set_without_a_row_ends_a_run_by_domain_only(tmp_path):
    args = write_case(Case(files={"mine.json": qa(output=None), "yours.json": qa()}), tmp_path)
    index = {"mine": {"file_name": "mine.json"}, "yours": {"file_name": "yours.json"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(index))
    args["dataset"] = "mine,yours"
    faults, left_out = told(args)
    assert (len(faults), len(left_out)) == (0, 1)
    faults, left_out = told(args, each=True)
    assert (len(faults), len(left_out)) == (1, 0)
    assert "all 3 rows are left out" in faults[0]


def test_data_of_elsewhere_are_left_alone(tmp_path):
    args = write_case(Case(files={"mine.json": qa()}), tmp_path)
    for entry in ({"hf_hub_url": "a/b"}, {"ms_hub_url": "a/b"}, {"script_url": "a.py"}, {"cloud_file_name": "s3://a"}):
        (tmp_path / "dataset_info.json").write_text(json.dumps({"mine": entry}))
        assert told(args) == ([], [])
    for changes in ({"dataset_dir": "ONLINE"}, {"dataset_dir": "REMOTE:a/b"}, {"tokenized_path": str(tmp_path)}):
        assert told(args | changes) == ([], [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mine": {"file_name": "mine.json"},\n}', "dataset_info.json, line 2: it is no JSON at column 1"),
        ("[]", "holds no object"),
        ('{"mine": "mine.json"}', "dataset 'mine': its entry is no object"),
        ('{"mine": {}}', "dataset 'mine': its entry names no file (give it a file_name)"),
        ('{"mine": {"file_name": 3}}', "dataset 'mine': file_name is 3"),
        ('{"mnie": {}}', "dataset 'mine' is not in"),
    ],
)
def test_the_index(text, said, tmp_path):
    args = write_case(Case(files={"mine.json": qa()}), tmp_path)
    (tmp_path / "dataset_info.json").write_text(text)
    (fault,), _ = told(args)
    assert said in fault


@pytest.mark.parametrize("key", ["subset", "folder"])
def test_a_key_that_is_not_read_of_files_is_noted(key, tmp_path):
    faults, notes = told(write_case(Case(files={"mine.json": qa()}, entry={key: "a"}), tmp_path))
    assert faults == []
    assert f"its entry has {key!r}, which is not read of a data set that file_name names" in notes[0]


@pytest.mark.parametrize("place", ["mine.json", "all/b.json"])
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.symlink_to("nowhere.json"), "is a link to nowhere.json, which leads nowhere"),
        (lambda path: path.symlink_to(path.name), "is a link to .*, which leads nowhere"),
        (os.mkfifo, "is neither a file nor a folder"),
    ],
    ids=["a link", "a link to itself", "a pipe"],
)
def test_what_is_no_file(place, make, said, tmp_path):
    args = write_case(Case(files={"all/a.json": qa()}, entry={"file_name": place.partition("/")[0]}), tmp_path)
    make(tmp_path / place)
    (fault,), _ = told(args)
    assert re.search(said, fault)
    assert "did you mean" not in fault


def test_a_name_that_is_too_long_is_not_there(tmp_path):
    (fault,), _ = told(write_case(Case(files={"mine.json": qa()}, entry={"file_name": "x" * 400}), tmp_path))
    assert "does not exist" in fault


def test_a_pattern_that_another_file_fits_is_noted(tmp_path):
    args = write_case(Case(files={"my[1].json": qa(), "my1.json": qa()}), tmp_path)
    faults, notes = told(args)
    assert faults == []
    assert "my[1].json has [ in its name" in notes[0]


@pytest.mark.parametrize(
    ("rows", "odd", "said"),
    [
        (qa(1, id=3), {"id": "A17"}, "column 'id' is 'A17' here, and a whole number in the first"),
        (qa(1, id=3), {"id": 1.5}, "column 'id' is a number here, and a whole number in the first"),
        (qa(1), {"input": "some"}, "column 'input' is 'some' here, and without a value in the first .*a value first"),
    ],
)
def test_the_row_of_a_table_that_differs_from_those_before(rows, odd, said, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_CSV_ROWS", 10)
    args = write_case(Case(files={"mine.csv": [*rows * 16, {**rows[0], **odd}, *rows * 16]}), tmp_path)
    (fault,), _ = told(args)
    assert re.search(r"mine.csv, row 17: " + said, fault)


@pytest.mark.parametrize(
    ("changes", "odd", "said"),
    [
        (
            {"x": None},
            {"x": "some"},
            "column 'x' is text here, and without a value in .*put a row that has a value first",
        ),
        (
            {"x": {"a": 1}},
            {"x": {"a": 1, "b": 2}},
            "'x' is an object with 'b' here, and without it in .*that has it first",
        ),
        ({"x": {"a": None}}, {"x": {"a": "b"}}, r"'x' is text \(a\) here, and without a value"),
        ({"x": [1]}, {"x": ["b"]}, r"'x' is text \(\[\]\) here, and a number \(\[\]\) in the first 10 MB"),
        ({}, {"x": 1}, "column 'x' is not in .*put a row that has a value of it first"),
    ],
)
def test_the_line_that_differs_from_those_before(changes, odd, said, tmp_path, monkeypatch):
    monkeypatch.setattr(json_tables, "_CHUNK", 1)  # a line at a time
    rows = qa(1, **changes)
    args = write_case(Case(files={"mine.jsonl": lines(*rows * 30, *qa(1, **{**changes, **odd}), *rows)}), tmp_path)
    (fault,), _ = told(args)
    assert re.search(r"mine.jsonl, row 31 \(line 31\): .*" + said, fault)


_ODD_TYPES = {
    "parquet": {
        "map": pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())),
        "string_view": pa.array(["a"], pa.string_view()),
    },
    "arrow": {
        "month_day_nano_interval": pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
        "list_view": pa.array([[1]], pa.list_view(pa.int64())),
        "union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    },
}


def _written(table, kind):
    sink = io.BytesIO()
    if kind == "parquet":
        parquet.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in _ODD_TYPES.items() for name in names])
def test_a_type_that_the_datasets_library_lacks(kind, name, tmp_path):
    table = pa.Table.from_pylist(qa(1)).append_column("odd", _ODD_TYPES[kind][name])
    (fault,), _ = told(write_case(Case(files={f"mine.{kind}": _written(table, kind)}), tmp_path))
    assert re.search(f"mine.{kind}: column 'odd' is .*{name}.*, which the datasets library does not take", fault)


@pytest.mark.parametrize("metadata", ["{oops", '{"info": {"features": {"output": {"_type": "Zorg"}}}}'])
def test_features_that_cannot_be_read(metadata, tmp_path):
    table = pa.Table.from_pylist(qa()).replace_schema_metadata({"huggingface": metadata})
    (fault,), _ = told(write_case(Case(files={"mine.parquet": _written(table, "parquet")}), tmp_path))
    assert "mine.parquet: what is written in it of its features cannot be read" in fault


def test_a_column_that_is_there_twice(tmp_path):
    row = qa(1)[0]
    table = pa.Table.from_arrays([pa.array([v]) for v in (*row.values(), "b")], names=[*row, "output"])
    (fault,), _ = told(write_case(Case(files={"mine.parquet": _written(table, "parquet")}), tmp_path))
    assert "mine.parquet: column 'output' is there twice (take one of them out)" in fault


def test_names_in_a_list_are_taken_as_they_are(tmp_path):
    args = write_case(Case(files={"mine.json": qa()}), tmp_path)
    assert told({**args, "dataset": " mine , mine"}) == ([], [])
    (fault,), _ = told({**args, "dataset": [" mine"]})
    assert "dataset ' mine' is not in" in fault


def test_a_word_that_nobody_reads_is_noted(tmp_path):
    columns = {"prompt": "instruction", "reponse": "output", "response": "output"}
    faults, notes = told(write_case(Case(files={"mine.json": qa()}, entry={"columns": columns}), tmp_path))
    assert faults == []
    assert "columns has 'reponse', which LLaMA-Factory does not read (did you mean 'response'?)" in notes[0]


def test_a_key_of_the_entry_that_nobody_reads_is_noted(tmp_path):
    faults, notes = told(write_case(Case(files={"mine.json": qa()}, entry={"colums": {}, "rank": True}), tmp_path))
    assert faults == []
    assert "its entry has 'colums', which LLaMA-Factory does not read (did you mean 'columns'?)" in notes[0]
    assert "its entry has 'rank'" in notes[1]


MEDIA = {"columns": {"prompt": "instruction", "response": "output", "images": "images"}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instruction": "<image> a", "images": ["a.png"]}, None),
        ({"instruction": "<image> a", "images": "a.png"}, None),
        ({"instruction": "a", "images": []}, None),
        ({"instruction": "<image> a", "images": []}, "have <image> 1 times, and it has 0 images"),
        ({"instruction": "a", "images": ["a.png"]}, "have <image> 0 times, and it has 1 image"),
        ({"instruction": "<image> a", "images": ["b.png"]}, "its image b.png does not exist"),
        ({"instruction": "<video> a", "images": []}, "have <video> 1 times, and it has 0 videos"),
    ],
)
def test_media(changes, said, tmp_path):
    args = write_case(Case(files={"mine.json": qa(1, **changes)}, entry=MEDIA, args={"template": "qwen2_vl"}), tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    faults, _ = told(args)
    assert [said in fault for fault in faults] == ([True] if said else [])


def test_many_rows_take_seconds(tmp_path):
    """A tenth of a million rows of chat in a fraction of what it takes to read them in Python one by one."""
    case = Case(files={"mine.jsonl": lines(chat()) * 100_000 + lines(chat(("human", "a")))}, entry=CHAT)
    args = write_case(case, tmp_path)
    faults, left_out = told(args)
    assert faults == []
    assert "row 100001 (line 100001) is left out" in left_out[0]


@pytest.mark.parametrize("module", ["torch", "transformers", "llamafactory", "datasets"])
def test_nothing_heavy_is_imported(module, tmp_path):
    args = write_case(FAULTY["a content that is null"], tmp_path)
    code = "import sys\nfrom dataflex_core.llamafactory.datasets.look import look\n"
    code += f"assert len(look({args!r}).faults) == 1\nassert {module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
