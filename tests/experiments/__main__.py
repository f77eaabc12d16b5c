"""``python -m experiments pays``: train what has no result yet, and write the page."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from experiments.arms import ARMS, Arm
from experiments.corpora import CORPORA, Corpus, digest, write_corpus
from experiments.page import write_page
from experiments.results import RESULTS, load_all, path_of, save

T = TypeVar("T")
SEEDS = (0, 1, 2, 3, 4)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    if not options.page_only:
        with tempfile.TemporaryDirectory(prefix="dataflex-pays-") as scratch:
            for corpus in options.corpora:
                for seed in options.seeds:
                    train_missing(corpus, options.arms, seed, Path(scratch), options.results)
    write_page(load_all(options.results))
    return 0


def train_missing(corpus: Corpus, arms: Iterable[Arm], seed: int, scratch: Path, results: Path) -> None:
    """Train the arms that have no result on that corpus with that seed, one after the other."""
    folder = scratch / f"{corpus.name}-{seed}"
    args = write_corpus(corpus, folder, seed=seed)
    data = digest(folder)
    for arm in arms:
        path = path_of(results, corpus=corpus.name, arm=arm, seed=seed, data=data)
        if path.exists():
            continue
        from experiments.one_run import run

        start = time.monotonic()
        result = run(corpus, arm, args, folder, seed=seed, data=data)
        save(path, result)
        curve = " ".join(f"{point.passes:.0f}:{point.loss:.3f}" for point in result.points)
        print(f"{path.name}: {curve} ({time.monotonic() - start:.0f} s)", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("experiment", choices=["pays"])
    parser.add_argument("--corpora", type=partial(_named, CORPORA), default=[CORPORA["demo-25"]], metavar="NAME[,NAME]")
    parser.add_argument("--arms", type=partial(_named, ARMS), default=list(ARMS.values()), metavar="NAME[,NAME]")
    parser.add_argument("--seeds", type=_seeds, default=SEEDS, metavar="N[,N]")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--page-only", action="store_true", help="train nothing, and write the page")
    return parser


def _seeds(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _named(known: Mapping[str, T], text: str) -> list[T]:
    if unknown := sorted(set(text.split(",")) - set(known)):
        raise argparse.ArgumentTypeError(f"no {unknown[0]!r}: {', '.join(known)}")
    return [known[name] for name in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
