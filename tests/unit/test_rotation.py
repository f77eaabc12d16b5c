"""Which checkpoints go where only so many are allowed: also where no clock tells which one is the newest."""

from __future__ import annotations

import os
import shutil

import pytest

from dataflex_core.trainer.checkpoint_files import checkpoints, seal, write_state
from dataflex_core.trainer.rotation import remove_torn, rotate


def _checkpoint(folder, *files):
    folder.mkdir()
    write_state(folder, {"step": 1})
    for name in ("model.safetensors", "trainer_state.json", *(files or ("optimizer.pt",))):
        (folder / name).write_text("whole")
    seal(folder)
    return folder


def _plain(folder):
    folder.mkdir()
    for name in ("model.safetensors", "trainer_state.json", "optimizer.pt"):
        (folder / name).write_text("LLaMA-Factory's own")


def _one_time(output):
    """All checkpoints are of the same moment."""
    for path in checkpoints(output):
        os.utime(path, ns=(10**18, 10**18))


def _left(output):
    return [path.name for path in checkpoints(output)]


TORN = {
    "before our state": lambda path: (path / "dataflex").rename(path / "dataflex.tmp"),
    "before the seal": lambda path: (path / "dataflex" / "seal.json").unlink(),
    "half a seal": lambda path: (path / "dataflex" / "seal.json").write_text('{"dataflex/st'),
    "half removed": lambda path: (path / "model.safetensors").unlink(),
    "half written": lambda path: (path / "optimizer.pt").write_text("wh"),
}


@pytest.mark.parametrize("how", TORN)
def test_a_torn_checkpoint_of_a_later_step_goes_and_the_whole_one_stays(tmp_path, how):
    whole, torn = _checkpoint(tmp_path / "checkpoint-5"), _checkpoint(tmp_path / "checkpoint-6")
    TORN[how](torn)
    _one_time(tmp_path)
    said: list[str] = []
    remove_torn(tmp_path, said.append)
    rotate(tmp_path, 1, kept=[whole])
    assert _left(tmp_path) == ["checkpoint-5"]
    assert len(said) == 1
    assert said[0].startswith(f"{torn} ")


def test_several_torn_checkpoints_are_told_in_one_line(tmp_path):
    for step in (4, 6, 8):
        _checkpoint(tmp_path / f"checkpoint-{step}")
    for step in (6, 8):
        (tmp_path / f"checkpoint-{step}" / "dataflex" / "seal.json").unlink()
    said: list[str] = []
    remove_torn(tmp_path, said.append)
    wrong = [f"{tmp_path / f'checkpoint-{step}'} is not complete" for step in (6, 8)]
    assert said == [f"{', '.join(wrong)}: removed, as save_total_limit allows no more than are whole"]


def test_what_somebody_else_wrote_and_what_has_no_optimizer_state_is_not_torn(tmp_path):
    _plain(tmp_path / "checkpoint-5")
    _checkpoint(tmp_path / "checkpoint-6", "config.json")
    said: list[str] = []
    remove_torn(tmp_path, said.append)
    assert (_left(tmp_path), said) == (["checkpoint-6", "checkpoint-5"], [])


@pytest.mark.parametrize("other", [_checkpoint, _plain], ids=["an earlier run's", "LLaMA-Factory's"])
@pytest.mark.parametrize("limit", [1, 2])
def test_what_was_just_written_stays_whatever_the_numbers_and_times(tmp_path, other, limit):
    other(tmp_path / "checkpoint-100")
    other(tmp_path / "checkpoint-99")
    written = _checkpoint(tmp_path / "checkpoint-5")
    _one_time(tmp_path)
    rotate(tmp_path, limit, kept=[written])
    assert _left(tmp_path) == ["checkpoint-100", "checkpoint-5"][-limit:]


def test_the_newest_by_time_stay(tmp_path):
    for step, seconds in ((2, 30), (4, 10), (6, 20)):
        os.utime(_checkpoint(tmp_path / f"checkpoint-{step}"), (seconds, seconds))
    written = _checkpoint(tmp_path / "checkpoint-3")
    rotate(tmp_path, 3, kept=[written])
    assert _left(tmp_path) == ["checkpoint-6", "checkpoint-3", "checkpoint-2"]


@pytest.mark.parametrize(("limit", "left"), [(1, [8, 2]), (2, [8, 2]), (3, [8, 6, 2]), (9, [8, 6, 4, 2])])
def test_the_best_one_stays_beside_the_one_just_written(tmp_path, monkeypatch, limit, left):
    for step in (2, 4, 6, 8):
        _checkpoint(tmp_path / f"checkpoint-{step}")
    _one_time(tmp_path)
    monkeypatch.chdir(tmp_path)
    best = (tmp_path / "checkpoint-2").relative_to(tmp_path)
    rotate(tmp_path, limit, kept=[tmp_path / "checkpoint-8", best])
    assert _left(tmp_path) == [f"checkpoint-{step}" for step in left]


def test_a_best_one_that_is_elsewhere_takes_no_place(tmp_path):
    for step in (2, 4):
        _checkpoint(tmp_path / f"checkpoint-{step}")
    shutil.rmtree(tmp_path / "checkpoint-2")
    _checkpoint(tmp_path / "checkpoint-3")
    rotate(tmp_path, 2, kept=[tmp_path / "checkpoint-4", tmp_path / "gone" / "checkpoint-2"])
    assert _left(tmp_path) == ["checkpoint-4", "checkpoint-3"]
