"""Places that a run cannot write to are told before it begins; looking leaves no trace."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from dataflex_core.llamafactory.places import check_places
from dataflex_core.places import barrier, whole


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("a\0b", "holds a NUL character"),
        ("file", "is no folder, but a file"),
        ("file/below/it", "cannot be made: "),
        ("link", "is a link that leads nowhere"),
        ("link/below", "cannot be made: "),
        ("x" * 300, "cannot be written to: File name too long"),
        ("/dev/null", "is no folder, but a file"),
        ("/dev/null/out", "cannot be made: /dev/null is no folder"),
        ("/proc/out", "cannot be written to: "),
        ("there", None),
        ("there/and/further", None),
    ],
)
def test_what_is_in_the_way(tmp_path, monkeypatch, place, wrong):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    found = barrier(place)
    assert (found or "").startswith(wrong or "")
    assert (found is None) == (wrong is None)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "link", "there"], "nothing is left"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    tmp_path.chmod(0o500)
    assert barrier(str(tmp_path / "out")) == "cannot be written to: Permission denied"


def test_a_file_has_a_folder(tmp_path):
    assert barrier(str(tmp_path / "a.json"), folder=False) is None
    assert barrier(str(tmp_path), folder=False) == "is a folder, not a file"
    os.mkfifo(tmp_path / "pipe")
    for place in ("/dev/null", str(tmp_path / "pipe")):
        assert barrier(place, folder=False) == "is a device or a pipe, not a file"


def _told(args, env=None):
    return [(fault.key, fault.message) for fault in check_places(args, env or {})]


def test_only_what_is_written_has_to_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "state.json").write_text("{}")
    (tmp_path / "tokens-dataflex").write_text("a file, but nothing is saved where the tokens are")
    file = str(tmp_path / "file")
    assert _told({"output_dir": str(tmp_path), "profiler_output_dir": file, "swanlab_logdir": file}) == []
    ((key, _),) = _told({"profiler_output_dir": file, "enable_torch_profiler": True})
    assert key == ("profiler_output_dir",)
    assert [key for key, _ in _told({"tokenized_path": str(tmp_path / "tokens")})] == [("tokenized_path",)]
    (tmp_path / "tokens-dataflex").unlink()
    assert _told({"tokenized_path": str(tmp_path / "tokens")}) == []


@pytest.mark.parametrize("given", [None, "", "  "])
def test_an_output_folder_that_is_left_empty(given):
    assert _told({"output_dir": given}) == [(("output_dir",), "output_dir is empty")]
    assert _told({"logging_dir": None}) == []


def test_the_journals_folder_is_looked_at(tmp_path):
    (tmp_path / "dataflex").write_text("")
    assert _told({"output_dir": str(tmp_path)}) == [
        (("output_dir",), f"output_dir: {tmp_path}/dataflex is no folder, but a file")
    ]


def test_the_cache_of_data_sets_is_looked_at_where_it_is_used(tmp_path):
    (tmp_path / "file").write_text("")
    ((key, text),) = _told({}, {"HF_HOME": f"{tmp_path}/file", "HF_DATASETS_CACHE": ""})
    assert (key, text.startswith(f"data sets are cached in {tmp_path}/file/datasets (HF_HOME), which")) == ((), True)
    assert _told({"cache_dir": str(tmp_path)}, {"HF_HOME": f"{tmp_path}/file"}) == []
    assert _told({}, {"HF_HOME": f"{tmp_path}/file", "HF_DATASETS_CACHE": str(tmp_path)}) == []


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "above" / "file.txt"
    with whole(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with suppress(LookupError), whole(path) as temporary:
        temporary.write_text("half of the sec")
        raise LookupError
    assert {found.name: found.read_text() for found in path.parent.iterdir()} == {"file.txt": "first"}
