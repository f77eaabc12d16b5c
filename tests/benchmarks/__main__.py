"""``python -m benchmarks``: run the measures, print the table, write the JSON, exit 1 when a bound is missed."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks.measure import Measure, Outcome
from benchmarks.report import as_json, device_name, exit_code, show, write

if TYPE_CHECKING:
    from benchmarks.bench import Bench

NAMES = (
    "less-step",
    "less-dense",
    "less-memory",
    "loss-eval",
    "bank-rank",
    "greats-overlap",
    "train-step",
    "decide-step",
    "exact",
    "cheaper",
    "million",
    "neighbours",
    "store",
    "journal",
    "report-page",
)
MODELS = ("hidden256", "smollm2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    import torch

    with tempfile.TemporaryDirectory(prefix="dataflex-bench-") as scratch:
        _hush()
        bench = build_bench(options.model, Path(scratch), bf16=options.bf16)
        outcomes = [_run(name, bench, options.repeats) for name in options.only]
    device = device_name(torch.cuda.is_available())
    console = Console()
    console.width = max(console.width, 120)  # also where there is no terminal
    show(outcomes, console, title=f"{options.model} on {device}")
    command = ["python", "-m", "benchmarks", *(sys.argv[1:] if arguments is None else arguments)]
    write(options.json, as_json(outcomes, model=options.model, device=device, command=command))
    return exit_code(outcomes)


def build_bench(name: str, folder: Path, *, bf16: bool = False) -> Bench:
    """The bench of one of ``MODELS``."""
    from benchmarks.bench import build

    return build(name, folder, bf16=bf16)


def load_measure(name: str) -> Measure:
    """The measure of a name, from the module of that name."""
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    measure: Measure = module.MEASURE
    return measure


def _run(name: str, bench: Bench, repeats: int) -> Outcome:
    measure = load_measure(name)
    print(f"{name}: {measure.what}", file=sys.stderr, flush=True)
    start = time.monotonic()
    found = measure.run(bench, repeats)
    return Outcome(measure=measure, finding=found, seconds=time.monotonic() - start)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="hidden256")
    parser.add_argument("--only", type=_names, default=NAMES, metavar="NAME[,NAME]", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH")
    parser.add_argument("--bf16", action="store_true", help="what scores, in bfloat16 on a CPU, too")
    parser.add_argument("--repeats", type=int, default=5, metavar="N")
    return parser


def _names(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := sorted(set(names) - set(NAMES)):
        raise argparse.ArgumentTypeError(f"no measure {unknown[0]!r}: {', '.join(NAMES)}")
    return names


def _hush() -> None:
    import os

    os.environ.setdefault("LLAMAFACTORY_VERBOSITY", "ERROR")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import transformers

    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()


if __name__ == "__main__":
    raise SystemExit(main())
