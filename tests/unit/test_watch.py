"""catalog/watch.py: an import that takes long is named, once, and Ctrl-C says what it ended."""

from __future__ import annotations

import io
import time

import pytest

from dataflex_core.catalog import watch
from dataflex_core.catalog.watch import importing


@pytest.fixture
def told(monkeypatch):
    monkeypatch.setattr("sys.__stderr__", io.StringIO())
    return lambda: watch.sys.__stderr__.getvalue()


@pytest.mark.parametrize(("seconds", "lines"), [("0.05", 1), ("60", 0), ("0", 0), ("soon", 0)])
def test_an_import_that_takes_long_is_named_once(told, monkeypatch, seconds, lines):
    monkeypatch.setenv(watch.SECONDS, seconds)
    with importing("mine 1.0: mine = mine", "leave it out"):
        time.sleep(0.3)
    assert told() == lines * "DataFlex: still importing mine 1.0: mine = mine, for 0.05 seconds now (leave it out)\n"


def test_ctrl_c_says_what_it_ended(told):
    with pytest.raises(KeyboardInterrupt) as stopped, importing("mine 1.0", "leave it out"):
        raise KeyboardInterrupt
    assert stopped.value.__notes__ == ["while mine 1.0 was being imported (leave it out)"]
