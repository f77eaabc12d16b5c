"""Stored answers: what was kept is found again, by anybody, whatever happens to those who write."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from dataflex_core.scoring import answer_files
from dataflex_core.scoring.store import Store
from dataflex_core.scoring.store_listing import contents_of, prune

ASKED = {"question": "losses", "model": "m"}


def keys_of(numbers):
    return np.array([int(number).to_bytes(16, "big") for number in numbers], dtype="S16")


def shelf_in(folder, notices=None, **description):
    told = [] if notices is None else notices
    return Store(folder, told.append).shelf({**ASKED, **description}, about={"what": "losses"})


def put(shelf, numbers, width=1):
    """Answers that say of what they are: ``width`` values each, the number and what follows."""
    lengths = np.full(len(numbers), width)
    shelf.add(keys_of(numbers), lengths, np.concatenate([np.arange(n, n + width) for n in numbers]))


def got(shelf, numbers):
    known, lengths, values = shelf.find(keys_of(numbers))
    found = [part.tolist() for part in np.split(values, np.cumsum(lengths))[:-1]]
    return dict(zip(np.asarray(numbers)[known].tolist(), found, strict=True))


def files_in(folder):
    return sorted(folder.rglob("*.answers"))


def test_what_was_added_is_found_by_the_next_process_in_any_order(tmp_path):
    first = shelf_in(tmp_path)
    put(first, [1, 2, 3])
    put(first, [4], width=3)
    later = shelf_in(tmp_path)
    later.refresh()
    for shelf in (first, later):
        assert got(shelf, [4, 9, 1]) == {4: [4, 5, 6], 1: [1]}
    assert len(later) == 4


def test_answers_to_another_question_are_others(tmp_path):
    put(shelf_in(tmp_path), [1])
    for other in ({"model": "n"}, {"question": "embeddings"}):
        shelf = shelf_in(tmp_path, **other)
        shelf.refresh()
        assert got(shelf, [1]) == {}


def test_a_shelf_grows_without_being_rewritten(tmp_path):
    shelf = shelf_in(tmp_path)
    put(shelf, [1])
    (path,) = files_in(tmp_path)
    before = path.read_bytes()
    put(shelf, [2])
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) > len(before)
    assert files_in(tmp_path) == [path]


def test_many_small_additions_are_all_found(tmp_path, monkeypatch):
    monkeypatch.setattr("dataflex_core.scoring.store._TAIL", 8)
    shelf = shelf_in(tmp_path)
    order = np.random.default_rng(0).permutation(300).tolist()
    for start in range(0, 300, 3):
        put(shelf, order[start : start + 3])
    later = shelf_in(tmp_path)
    later.refresh()
    assert got(shelf, range(300)) == got(later, range(300)) == {n: [n] for n in range(300)}


def test_without_a_folder_a_store_is_in_memory(tmp_path):
    shelf = shelf_in(None)
    put(shelf, [1, 2], width=2)
    assert got(shelf, [2, 1]) == {2: [2, 3], 1: [1, 2]}


def test_float16_is_kept_as_that(tmp_path):
    shelf = Store(tmp_path, print).shelf(ASKED, about={}, dtype="float16")
    shelf.add(keys_of([1]), np.array([2]), np.array([0.1, 1.0], dtype=np.float32))
    _, _, values = shelf.find(keys_of([1]))
    assert values.dtype == np.float16
    assert values.tolist() == [np.float16(0.1), 1.0]


@pytest.mark.parametrize("left", [1, 17, 40, 60])
def test_a_torn_file_is_told_left_alone_and_used_as_far_as_it_is_whole(tmp_path, left):
    shelf = shelf_in(tmp_path)
    put(shelf, [1, 2])
    (path,) = files_in(tmp_path)
    whole = path.stat().st_size
    put(shelf, [3, 4])
    shelf._writer.close()
    os.truncate(path, whole + left)
    notices: list[str] = []
    later = shelf_in(tmp_path, notices)
    later.refresh()
    later.refresh()
    assert got(later, [1, 2, 3, 4]) == {1: [1], 2: [2]}
    assert notices == [f"{path} ends in a torn block; what is before it is used: it is left alone"]
    put(later, [3])
    assert path.stat().st_size == whole + left
    assert got(later, [3]) == {3: [3]}


def test_a_file_whose_writer_lives_is_no_torn_one(tmp_path):
    shelf = shelf_in(tmp_path)
    put(shelf, [1])
    os.write(shelf._writer._file, b"half a block")
    notices: list[str] = []
    later = shelf_in(tmp_path, notices)
    later.refresh()
    assert (got(later, [1]), notices) == ({1: [1]}, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is too short"),
        (b"not ours, and long enough to have a head", "is no file of stored answers"),
        (b"dfanswer" + bytes([7]) * 40, "has a torn head"),
    ],
)
def test_a_foreign_file_is_told_and_left_alone(tmp_path, content, said):
    shelf = shelf_in(tmp_path)
    put(shelf, [1])
    path = files_in(tmp_path)[0].with_name("foreign.answers")
    path.write_bytes(content)
    notices: list[str] = []
    later = shelf_in(tmp_path, notices)
    later.refresh()
    assert notices == [f"{path} {said}: it is left alone"]
    assert path.read_bytes() == content
    assert got(later, [1]) == {1: [1]}


def test_values_that_were_changed_are_told_and_computed_again(tmp_path):
    shelf = shelf_in(tmp_path)
    put(shelf, [1, 2])
    shelf._writer.close()
    (path,) = files_in(tmp_path)
    data = bytearray(path.read_bytes())
    data[-12] ^= 1
    path.write_bytes(data)
    notices: list[str] = []
    later = shelf_in(tmp_path, notices)
    later.refresh()
    assert got(later, [1, 2]) == {}
    assert notices == [f"{path} has a block that was changed: it is left alone"]
    put(later, [1])
    assert got(later, [1, 2]) == {1: [1]}


def test_a_store_that_was_pruned_meanwhile_is_one_without_answers(tmp_path):
    put(shelf_in(tmp_path), [1])
    later = shelf_in(tmp_path)
    later.refresh()
    for path in files_in(tmp_path):
        path.unlink()
    assert got(later, [1]) == {}
    put(later, [1])
    assert got(later, [1]) == {1: [1]}


def test_a_folder_that_cannot_be_written_is_told_once_and_memory_does(tmp_path):
    (tmp_path / "file").write_text("")
    notices: list[str] = []
    shelf = shelf_in(tmp_path / "file", notices)
    for numbers in ([1], [2]):
        shelf.refresh()
        put(shelf, numbers)
    assert got(shelf, [1, 2]) == {1: [1], 2: [2]}
    assert len(notices) == 1
    assert "cannot be written (Not a directory): answers are kept in memory" in notices[0]


def test_a_full_disk_is_told_once_and_what_is_written_stays_whole(tmp_path):
    notices: list[str] = []
    shelf = shelf_in(tmp_path, notices)
    put(shelf, [1])
    (path,) = files_in(tmp_path)
    whole = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 50, hard))
    try:
        put(shelf, range(2, 40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    put(shelf, [50])
    assert path.read_bytes() == whole
    assert got(shelf, [1, 39, 50]) == {1: [1], 39: [39], 50: [50]}
    assert notices == [f"the store {tmp_path} cannot be written (File too large): answers are kept in memory"]
    later = shelf_in(tmp_path, notices)
    later.refresh()
    assert got(later, [1, 2]) == {1: [1]}


def test_no_room_from_the_first_byte_is_told(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(answer_files.os, "write", full)
    notices: list[str] = []
    shelf = shelf_in(tmp_path, notices)
    put(shelf, [1])
    assert got(shelf, [1]) == {1: [1]}
    assert notices == [f"the store {tmp_path} cannot be written (No space left on device): answers are kept in memory"]


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_store import put, shelf_in
shelf = shelf_in(Path(sys.argv[2]))
first = int(sys.argv[3])
print("begun", flush=True)
for number in range(first, first + int(sys.argv[4])):
    put(shelf, [number], width=1 + number % 5000)
"""


def writer(folder, first, count):
    words = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(folder), str(first), str(count)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def is_right(shelf, numbers):
    return all(values == list(range(n, n + 1 + n % 5000)) for n, values in got(shelf, numbers).items())


@pytest.mark.parametrize("milliseconds", [1, 3, 7, 13, 29])
def test_killed_while_it_writes_what_is_before_is_whole(tmp_path, milliseconds):
    process = writer(tmp_path, 0, 10**9)
    time.sleep(milliseconds / 1000)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    notices: list[str] = []
    shelf = shelf_in(tmp_path, notices)
    shelf.refresh()
    count = len(shelf)
    assert len(got(shelf, range(count + 5))) == count, "without a gap, up to where it was killed"
    assert is_right(shelf, range(count))
    assert all("torn" in text for text in notices)
    put(shelf, [count], width=1 + count % 5000)
    assert is_right(shelf, range(count + 1))


def test_several_writers_at_once_do_not_disturb_each_other(tmp_path):
    processes = [writer(tmp_path, first, 60) for first in (0, 40, 80)]  # some answers are written twice
    notices: list[str] = []
    shelf = shelf_in(tmp_path, notices)
    while any(process.poll() is None for process in processes):
        shelf.refresh()
        assert is_right(shelf, range(140))
    shelf.refresh()
    assert sorted(got(shelf, range(200))) == list(range(140))
    assert is_right(shelf, range(140))
    assert (len(files_in(tmp_path)), notices) == (3, [])


def test_a_listing_counts_and_pruning_leaves_what_is_used_and_what_is_others(tmp_path):
    done = shelf_in(tmp_path)
    put(done, [1, 2, 3])
    done._writer.close()
    used = shelf_in(tmp_path)
    put(used, [4])
    (tmp_path / "notes.txt").write_text("mine")
    contents = contents_of(tmp_path)
    assert sorted((file.samples, file.used, file.torn) for file in contents.files) == [
        (1, True, False),
        (3, False, False),
    ]
    assert {file.about["what"] for file in contents.files} == {"losses"}
    assert contents.foreign == ((tmp_path / "notes.txt", "is no file of stored answers"),)
    freed = prune(contents)
    assert freed == next(file.bytes for file in contents.files if not file.used)
    left = contents_of(tmp_path)
    assert [file.samples for file in left.files] == [1]
    used._writer.close()
    prune(contents_of(tmp_path))
    assert [path.name for path in tmp_path.rglob("*")] == ["notes.txt"]
