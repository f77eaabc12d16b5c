"""`dataflex store`: what is there and how large, and its removal."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from dataflex_cli.main import cli
from dataflex_core.errors import DataError
from dataflex_core.scoring.store import Store


def filled(folder):
    """A store with losses of three samples and embeddings of two, of which a process writes no more."""
    made = Store(folder, print)
    keys = np.array([bytes([n]) * 16 for n in (1, 2, 3)], dtype="S16")
    losses = made.shelf({"what": "losses"}, about={"what": "losses", "model": "org/base"})
    losses.add(keys, np.ones(3, dtype=np.int64), np.arange(3))
    about = {"what": "embeddings", "model": "org/encoder", "layer": -1, "pooling": "mean"}
    embeddings = made.shelf({"what": "embeddings"}, about=about)
    embeddings.add(keys[:2], np.full(2, 500), np.zeros(1000))
    for shelf in (losses, embeddings):
        shelf._writer.close()
    return made


def called(*words):
    done = CliRunner().invoke(cli, ["store", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize("inside", ["", "dataflex/store"], ids=["a store", "an output folder"])
def test_it_shows_models_samples_and_sizes(tmp_path, inside):
    filled(tmp_path / inside)
    lines = called(tmp_path).output.splitlines()
    assert lines[0].split() == ["answers", "model", "samples", "size", "files"]
    assert lines[1].split() == ["losses", "org/base", "3", *lines[1].split()[3:]]
    assert "embeddings, layer -1, pooling mean" in lines[2]
    assert lines[2].split()[-3:] == ["4.2", "KiB", "1"]
    assert lines[3].startswith(f"{tmp_path / inside}: 4.")


def test_as_json(tmp_path):
    filled(tmp_path)
    (tmp_path / "foreign").write_text("mine")
    document = json.loads(called(tmp_path, "--json").stdout)
    assert [(row["what"], row["samples"], row["files"]) for row in document["answers"]] == [
        ("losses", 3, 1),
        ("embeddings", 2, 1),
    ]
    assert document["foreign"] == [{"path": str(tmp_path / "foreign"), "wrong": "is no file of stored answers"}]
    assert "freed" not in document


def test_pruning_frees_it_and_leaves_what_is_others(tmp_path):
    filled(tmp_path)
    (tmp_path / "foreign").write_text("mine")
    done = called(tmp_path, "--prune")
    assert "freed 4." in done.stdout
    assert f"left alone: {tmp_path / 'foreign'} is no file of stored answers" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["foreign"]
    assert "0 B of stored answers" in called(tmp_path).output


def test_what_a_run_writes_is_left(tmp_path):
    made = Store(tmp_path, print)
    made.shelf({}, about={"what": "losses"}).add(np.array([b"a" * 16]), np.ones(1, dtype=np.int64), np.ones(1))
    done = called(tmp_path, "--prune")
    assert "(1 used)" in done.stdout
    assert "left 1 file that a run is writing" in done.stdout
    assert len(list(tmp_path.rglob("*.answers"))) == 1


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        called(tmp_path / "nowhere")
