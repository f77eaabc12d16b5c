"""``python -m experiments NAME``: train what has no result yet, and write the page.

`pays`, a kind's claims, or `foretold`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from experiments import foretold
from experiments.arms import ARMS, Arm
from experiments.claims import one_run as claim_run
from experiments.claims import outcome as outcomes
from experiments.claims.arms import EXPERIMENTS, Comparison
from experiments.claims.page import write_claims
from experiments.claims.planted import write_planted
from experiments.corpora import CORPORA, Corpus, digest, write_corpus
from experiments.page import PAGE, replaced, write_page
from experiments.results import RESULTS, load_all, path_of, save

T = TypeVar("T")
SEEDS, CLAIM_SEEDS = (0, 1, 2, 3, 4), (0, 1, 2)
CLAIMS, FORETOLD = RESULTS.parent / "claims", RESULTS.parent / "foretold"


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    options = _parser().parse_args(arguments)
    how = {"pays": _pays, foretold.MARK: _foretold}.get(options.experiment, _claims)
    with tempfile.TemporaryDirectory(prefix=f"dataflex-{options.experiment}-") as scratch:
        how(options, Path(scratch))
    return 0


def _pays(options: argparse.Namespace, scratch: Path) -> None:
    results = options.results or RESULTS
    if not options.page_only:
        for corpus in options.corpora:
            for seed in options.seeds or SEEDS:
                train_missing(corpus, options.arms, seed, scratch, results)
    write_page(load_all(results))


def _foretold(options: argparse.Namespace, scratch: Path) -> None:
    results = options.results or FORETOLD
    if not options.page_only:
        for seed in options.seeds or CLAIM_SEEDS:
            foretell(seed, scratch, results)
    lines = foretold.table(foretold.load_all(results))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replaced(page, foretold.MARK, "\n".join(lines)), encoding="utf-8")


def _claims(options: argparse.Namespace, scratch: Path) -> None:
    results = options.results or CLAIMS
    if not options.page_only:
        for seed in options.seeds or CLAIM_SEEDS:
            for comparison in EXPERIMENTS[options.experiment]:
                train_claims(comparison, seed, scratch, results)
    write_claims([outcomes.load(path) for path in sorted(results.glob("*.json"))])


def train_claims(comparison: Comparison, seed: int, scratch: Path, results: Path) -> None:
    """Train the arms of a comparison that have no outcome with that seed, one after the other."""
    corpus = comparison.corpus
    missing = [c for c in comparison.claims if not outcomes.path_of(results, corpus.name, c, seed).exists()]
    if not missing:
        return
    folder = scratch / f"{corpus.name}-{seed}"
    args = write_planted(corpus, folder, seed=seed)
    for claim in missing:
        start, steps = time.monotonic(), comparison.steps_of(claim)
        outcome = claim_run.run(corpus.name, claim, corpus.texts(), args, folder, seed=seed, steps=steps)
        path = outcomes.path_of(results, corpus.name, claim, seed)
        save(path, outcome)
        print(
            f"{path.name}: {outcome.drawn.marked:.2f} {outcome.losses} ({time.monotonic() - start:.0f} s)",
            file=sys.stderr,
        )
    shutil.rmtree(folder)


def foretell(seed: int, scratch: Path, results: Path) -> None:
    """Train the run of a seed that has no figures."""
    if foretold.path_of(results, seed).exists():
        return
    folder = scratch / f"foretold-{seed}"
    found = foretold.run(write_corpus(CORPORA["demo-25"], folder, seed=seed), folder, seed=seed)
    foretold.save(results, seed, found)
    for one in found:
        print(one, file=sys.stderr, flush=True)


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
    parser.add_argument("experiment", choices=["pays", *EXPERIMENTS, foretold.MARK])
    parser.add_argument("--corpora", type=partial(_named, CORPORA), default=[CORPORA["demo-25"]], metavar="NAME[,NAME]")
    parser.add_argument("--arms", type=partial(_named, ARMS), default=list(ARMS.values()), metavar="NAME[,NAME]")
    parser.add_argument("--seeds", type=_seeds, metavar="N[,N]")
    parser.add_argument("--results", type=Path, metavar="FOLDER")
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
