"""`report-page`: how large the report of a large run is, and how long it takes to write."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from report_runs import Shape, write_run

from benchmarks.bench import Bench
from benchmarks.measure import Bound, Finding, Measure, Side
from dataflex_cli.report.build import report_of
from dataflex_cli.report.page import page_of
from dataflex_cli.report.reading import read_run

_BYTES = 5e6
_SECONDS = 10.0
_RUN = Shape(sizes=(60_000, 30_000, 10_000), batch=40, update=49, decisions=50, warmup=50, words=400)
"""10^5 samples, 50 decisions that judge 7,840 each, and as many and as long texts as a run keeps."""


def run(bench: Bench, repeats: int) -> Finding:
    """The larger of its shares of 5 MB and of 10 s, of this process's time; the made-up run is written once."""
    with TemporaryDirectory(dir=bench.folder) as folder:
        made = write_run(Path(folder), _RUN)
        sizes, seconds = zip(*(_page(made) for _ in range(repeats)), strict=True)
    repeated = tuple(max(a / _BYTES, b / _SECONDS) for a, b in zip(sizes, seconds, strict=True))
    return Finding(
        value=median(repeated),
        repeats=repeated,
        sides=(
            Side(label="page", unit="MB", values=tuple(size / 1e6 for size in sizes)),
            Side(label="written in", unit="s", values=seconds),
        ),
    )


def _page(made: Path) -> tuple[int, float]:
    began = time.process_time()
    page = page_of(report_of(read_run(made))).encode()
    return len(page), time.process_time() - began


MEASURE = Measure(
    name="report-page",
    what="report of 100,000 samples and 50 decisions: of 5 MB, or of 10 s, whichever is more",
    bound=Bound(value=1.0, at_most=True),
    run=run,
)
