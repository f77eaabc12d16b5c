"""`cheaper`: what LESS scores of the last layers cost, and what is left of scores that cost less, on the demo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.bench import Bench
from benchmarks.clock import alternate
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.ours import make_signals
from benchmarks.plain import loader, train_steps
from benchmarks.samples import mixed, tokenised
from dataflex_cli.demo.texts import collect_texts
from dataflex_cli.demo.write import write_demo
from dataflex_core import Domain, Progress, SelectionRequest, top
from dataflex_strategies.selectors.prefilter import kept

_POOL, _CANDIDATES, _CHOSEN, _TARGETS, _BATCH, _INTERVAL = 1280, 640, 160, 60, 16, 10

Scores = NDArray[np.float32]


class _Demo:
    """The demo's model in full fine-tuning, as a run of the demo trains it, but on samples at random."""

    def __init__(self, bench: Bench) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = bench.folder / "demo"
        if not folder.exists():
            write_demo(folder)
        texts, tokenizer = collect_texts(), AutoTokenizer.from_pretrained(folder / "model")
        self._bench = bench
        self._rows = tokenised(tokenizer, mixed(texts, _POOL))
        self._model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).to(bench.device)
        self._optimizer = torch.optim.AdamW(self._model.parameters(), lr=3e-3)
        targets = {"signatures": tokenised(tokenizer, texts.target[:_TARGETS])}
        how: dict[str, Any] = {"token_budget": _BATCH * 160, "seed": 0, "collate": bench.collate}
        self.signals = make_signals(self._model, self._optimizer, self._rows, targets, **how)
        self.layers = int(self._model.config.num_hidden_layers)
        self.step = 0

    def train(self, steps: int = _INTERVAL) -> None:
        """Go on so many steps; a decision comes next."""
        rng = np.random.default_rng(self.step)
        batches = [rng.choice(_POOL, _BATCH, replace=False).tolist() for _ in range(steps)]
        train_steps(self._model, self._optimizer, loader(self._rows, batches, self._bench.collate), self._bench.device)
        self.step += steps
        self.signals.new_decision(self.step)


def run(bench: Bench, repeats: int) -> Finding:
    """Seconds of scores of the last layer over those of all, a pass over the target set beforehand.

    Spearman's correlation with exact scores, and the share of what these choose that is chosen all the same, are of one
    decision after 40 steps of training; a filter's is of what it lets through.
    """
    demo, every = _Demo(bench), np.arange(_CANDIDATES)
    demo.train()
    demo.signals.influence(every[:1], refresh=4)  # taken here, and kept until the decision that is looked at
    for _ in range(2):
        demo.train()
        demo.signals.influence(every[:1], refresh=4)
    demo.signals.influence(every[:1], refresh=2)
    demo.train()
    exact = demo.signals.influence(every)
    notes = [f"{label}: {said}" for label, said in _compared(demo, every, exact)]
    ours, full = alternate(
        lambda: demo.signals.influence(every, layers="last-1"),
        lambda: demo.signals.influence(every),
        device=bench.device,
        repeats=repeats,
    )
    each = 1000 / len(every)
    return ratio(
        Side(label=f"the last of {demo.layers} layers", unit="ms/sample", values=tuple(s * each for s in ours)),
        Side(label="all layers", unit="ms/sample", values=tuple(s * each for s in full)),
        notes=notes,
    )


def _compared(demo: _Demo, every: NDArray[np.int64], exact: Scores) -> Iterator[tuple[str, str]]:
    from scipy.stats import spearmanr  # type: ignore[import-untyped]

    best = top(every, exact, _CHOSEN)

    def said(scores: Scores) -> str:
        known, shared = np.isfinite(scores), np.intersect1d(top(every, scores, _CHOSEN), best)
        correlation = spearmanr(scores[known], exact[known]).statistic
        return f"Spearman {correlation:.3f}, {len(shared) / _CHOSEN:.0%} of the chosen"

    for last in range(1, demo.layers + 1):
        yield f"the last {last} of {demo.layers} layers", said(demo.signals.influence(every, layers=f"last-{last}"))
    for refresh in (2, 4):
        label = f"directions of {(refresh - 1) * _INTERVAL} steps before"
        yield label, said(demo.signals.influence(every, refresh=refresh))
    for by in ("losses", "embeddings"):
        ids = kept(_request(demo.signals, every), every, by=by, share=0.5, by_domain=False)
        yield f"prefilter {by}", said(np.where(np.isin(every, ids), exact, np.nan).astype(np.float32))
    rng = np.random.default_rng(0)
    yield "half of them at random", said(np.where(rng.permutation(_CANDIDATES) % 2, exact, np.nan).astype(np.float32))


def _request(signals: Any, every: NDArray[np.int64]) -> SelectionRequest:
    progress = Progress(step=0, total_steps=1, decision=1, decisions=1, epoch=0.0, learning_rate=0.0, seed=0)
    return SelectionRequest(
        progress=progress,
        domains=(Domain(name="mixed", start=0, size=_POOL),),
        candidates=every,
        count=_CHOSEN,
        rng=np.random.default_rng(0),
        signals=signals,
    )


MEASURE = Measure(
    name="cheaper",
    what="LESS scores of the last layer ÷ of all, and what is left of cheaper ones, on the demo",
    bound=Bound(value=0.9, at_most=True),
    run=run,
)
