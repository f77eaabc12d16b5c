"""asking.py: what a strategy leaves changed of the process is told, and put back."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch

from dataflex_core.asking import asked, settings_kept
from dataflex_core.errors import DataError, StrategyFault

TITLE, OTHER = "selector mine (mine.py 1)", "mixer theirs (theirs 2)"
SETTINGS = {
    "whether gradients are taken": (torch.is_grad_enabled, lambda folder: torch.set_grad_enabled(False)),
    "torch's default dtype": (torch.get_default_dtype, lambda folder: torch.set_default_dtype(torch.float64)),
    "numpy's handling of errors": (np.geterr, lambda folder: np.seterr(divide="raise")),
    "the working folder": (os.getcwd, os.chdir),
}


def in_a_block(change, folder, *, titles=(TITLE,), error=None):
    with asked({title: object() for title in titles}, "step 3"):
        change(folder)
        if error is not None:
            raise error


by_setting = pytest.mark.parametrize("setting", SETTINGS)


@by_setting
def test_a_setting_left_changed_is_told_and_put_back(tmp_path, setting):
    get, change = SETTINGS[setting]
    before = get()
    with pytest.raises(StrategyFault) as caught:
        in_a_block(change, tmp_path)
    assert caught.value.message == f"{TITLE}, step 3: leaves {setting} changed"
    assert "with block" in caught.value.hint
    assert get() == before


@by_setting
def test_a_setting_is_put_back_where_something_else_is_raised(tmp_path, setting):
    get, change = SETTINGS[setting]
    before = get()
    with pytest.raises(DataError, match="nothing to choose"):
        in_a_block(change, tmp_path, error=DataError("nothing to choose", hint="look"))
    assert get() == before


def test_what_is_set_back_is_no_fault(tmp_path):
    with asked({TITLE: object()}, "step 3"), torch.no_grad(), np.errstate(all="raise"):
        os.chdir(os.getcwd())


def test_of_several_strategies_all_that_were_asked_are_named(tmp_path):
    with pytest.raises(StrategyFault) as caught:
        in_a_block(os.chdir, tmp_path, titles=(OTHER, TITLE))
    assert caught.value.message.startswith(f"{OTHER} or {TITLE}, step 3: leaves the working folder changed")


def test_a_block_that_imports_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    with settings_kept() as changed:
        assert changed() == ()
        sys.modules["torch"] = torch
        assert changed() == ()
        torch.set_grad_enabled(False)
        assert changed() == ("whether gradients are taken",)
    assert torch.is_grad_enabled()


def test_a_working_folder_that_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    with settings_kept() as changed:
        os.chdir(tmp_path)
        gone.rmdir()
        assert changed() == ("the working folder",)
    assert os.getcwd() == str(tmp_path)
