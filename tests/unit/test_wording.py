"""wording.py: a library's error in one line keeps the library's remedy."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from dataflex_core.wording import first_line

GALORE = "The 'galore_torch' distribution was not found and is required by this application."
BACKEND = "X requires the foo library but it was not found in your environment. You can install it with pip:"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo\nthree"), "one"),
        (ValueError("  \n first  of all \n"), "first of all"),
        (KeyError(), "KeyError"),
        (
            PackageNotFoundError(f"{GALORE} \nTo fix: run `pip install galore_torch`."),
            f"{GALORE} To fix: run `pip install galore_torch`.",
        ),
        (
            ImportError("badam>=1.2.1 is required, but found badam==1.1.\nTo fix: run `pip install badam>=1.2.1`."),
            "badam>=1.2.1 is required, but found badam==1.1. To fix: run `pip install badam>=1.2.1`.",
        ),
        (
            ImportError(f"\n{BACKEND}\n`pip install foo`. Please note that you may need to restart.\n"),
            f"{BACKEND} `pip install foo`. Please note that you may need to restart.",
        ),
        (
            OSError("no file was found in x\n  Traceback: y\nMake sure that\n\nx is a folder"),
            "no file was found in x; Make sure that",
        ),
        (RuntimeError("weights differ:\nlayer.0\nlayer.1\n"), "weights differ: layer.0"),
        (ValueError("bad\n" + "Please try it.\n" * 9), "bad; Please try it. Please try it. Please try it."),
    ],
)
def test_one_line_with_what_to_do(error, line):
    assert first_line(error) == line


def test_a_note_is_read_too():
    error = ValueError("bad")
    error.add_note("Set `x: 1` instead.")
    assert first_line(error) == "bad; Set `x: 1` instead."
