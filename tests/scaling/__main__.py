"""``python -m scaling``: measure what docs/scaling.md reckons with, simulate, and write its tables; minutes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from scaling.page import PAGE, written
from scaling.results import load, measured, save


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scaling", description=__doc__)
    parser.add_argument("--page-only", action="store_true", help="measure nothing, and write the page from what was")
    if not parser.parse_args(arguments).page_only:
        save(measured(lambda line: print(line, file=sys.stderr, flush=True)))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), load()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
