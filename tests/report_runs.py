"""Runs for tests of reports: what a run leaves behind, of any size and kind, written in a moment."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dataflex_core.journal import (
    Decision,
    End,
    Evaluated,
    Event,
    Failed,
    Logged,
    RowsFact,
    Start,
    Step,
    StrategyFact,
    Trained,
    WeightsFact,
    to_record,
)
from dataflex_core.journal.pool_facts import PoolFacts, write_pool_facts
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.shown import allowance, shown_of
from dataflex_core.journal.text_file import TextFile
from dataflex_core.journal.texts import Helps, Piece, Shown, Text, Weighed
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.schedule import Interval

STRATEGIES = {"selector": "less", "mixer": "doremi", "weighter": "loss"}
SCRIPT = "<script>document.title = 'run'</script><img src=x onerror=\"document.title = 'run'\">"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a run is to be like."""

    kinds: tuple[str, ...] = ("selector",)
    sizes: tuple[int, ...] = (400, 300, 200)
    batch: int = 8
    warmup: int = 4
    update: int = 5
    decisions: int = 6
    stop: int | None = None
    """The last step that it makes before it is killed."""
    error: str | None = None
    seed: int = 0
    model: str = "a/model"
    run: str = ""
    """Its id; the name of its folder where it is empty."""
    evaluation: float = 0.0
    """What is added to its evaluations."""
    leaked: tuple[int, ...] = ()
    pool: int | None = None
    """The seed of its data, where it is another than that of the run."""
    step_cost: float = 0.0
    words: int = 12
    """In the answer of a sample."""
    named: str = "domain"
    """What names of domains begin with."""
    packed: bool = False
    """Whether what it weighs is the second in a row."""
    exact: float | None = None
    """What share of what a decision judges it scores; the rest is predicted, less well from decision to decision."""

    @property
    def steps(self) -> int:
        """All of them."""
        return self.warmup + self.update * self.decisions


def write_run(folder: Path, shape: Shape) -> Path:
    """Write what such a run leaves; the folder."""
    rng = np.random.default_rng(shape.seed)
    run = shape.run or folder.name
    names = [f"{shape.named} {chr(97 + i)}" for i in range(len(shape.sizes))]
    events: list[Event] = [_start(shape, names, run)]
    of_data = rng if shape.pool is None else np.random.default_rng(shape.pool)
    lengths = of_data.integers(20, 200, sum(shape.sizes))
    told: list[str] = []
    scores = ScoreFiles(folder / "dataflex", run=lambda: run, notice=told.append)
    texts = TextFile(folder / "dataflex", run, told.append)
    texts.write([_text(i, of_data, int(lengths[i]), shape.words, target="held") for i in range(3)])
    last = shape.steps if shape.stop is None else shape.stop
    for decision in range(shape.decisions + 1):
        step = 0 if decision == 0 else shape.warmup + (decision - 1) * shape.update
        until = shape.warmup + decision * shape.update
        if step >= last or until == step:
            continue
        if set(shape.kinds) & {"selector", "mixer"}:
            events += _planned(shape, names, rng, (texts, scores), lengths, (decision, step, until))
        else:
            ids = rng.integers(0, sum(shape.sizes), (until - step) * shape.batch)
            events += _trained(shape, names, ids, step, until, rng, texts)
    events = [event for event in events if getattr(event, "step", 0) <= last or isinstance(event, Start)]
    if shape.error is not None:
        events.append(Failed(step=last, error=shape.error, hint="mend it", kind="RunFailed"))
    elif shape.stop is None:
        events.append(End(step=last))
    (folder / "dataflex" / "journal.jsonl").write_text(
        "".join(json.dumps(to_record(event)) + "\n" for event in events) + ('{"event": "st' if shape.stop else "")
    )
    facts = PoolFacts(
        lengths=lengths.astype(np.int32), cutoff_len=190, in_target=np.array(shape.leaked, dtype=np.int64)
    )
    write_pool_facts(folder / "dataflex", run, facts, told.append)
    assert told == []
    return folder


def _start(shape: Shape, names: list[str], run: str) -> Start:
    return Start(
        run=run,
        strategies=tuple(
            StrategyFact(kind=kind, name=STRATEGIES[kind], distribution="dataflex-strategies", version="2.0.0")
            for kind in shape.kinds
        ),
        domains=dict(zip(names, shape.sizes, strict=True)),
        targets={"held": 3},
        steps=shape.steps,
        warmup_steps=shape.warmup,
        update_steps=shape.update,
        decisions=shape.decisions,
        global_batch=shape.batch,
        ranks=1,
        judged=4 * shape.update * shape.batch if "selector" in shape.kinds else 0,
        decision_cost=3.5 * shape.update if "selector" in shape.kinds else 0.0,
        step_cost=shape.step_cost,
        seed=shape.seed,
        exact=None if shape.exact is None else 9,
        config={} if shape.exact is None else {"exact": shape.exact, "exact_floor": 0.2},
        cut={names[0]: RowsFact(count=50, dataset=names[0], file="a.json", row=3, reason="longer than 190 tokens")},
        model=shape.model,
        versions={"torch": "2.11.0"},
    )


def _planned(
    shape: Shape,
    names: list[str],
    rng: np.random.Generator,
    files: tuple[TextFile, ScoreFiles],
    lengths: Any,
    interval: tuple[int, int, int],
) -> list[Event]:
    (decision, step, until), (texts, kept) = interval, files
    count, pool = (until - step) * shape.batch, sum(shape.sizes)
    candidates = np.sort(rng.choice(pool, min(pool, 4 * count), replace=False))
    scores = (-candidates / pool + rng.normal(0, 0.3, len(candidates))).astype(np.float32)
    by_score = "selector" in shape.kinds and decision > 0
    ids = candidates[np.argsort(-scores)][:count] if by_score else rng.choice(pool, count, replace=count > pool)
    owners = np.searchsorted(np.cumsum(shape.sizes), ids, side="right")
    counts = np.bincount(owners, minlength=len(names))
    plan = Plan(
        interval=Interval(decision=decision, start=step, stop=until),
        ids=rng.permutation(ids),
        proportions=np.ones(len(names)) / len(names),
        scored=(candidates, scores) if by_score else None,
    )
    shown = shown_of(plan, shape.seed, allowance(decision, shape.decisions, texts.had(decision, step)))
    if by_score:
        shown = [_with_reasons(one) for one in shown]
    new = dict.fromkeys(one.sample for one in shown if not texts.has(one.sample))
    texts.write([_text(i, rng, int(lengths[i]), shape.words) for i in new], shown, decided=decision, after=step)
    if by_score:
        kept.write(decision, candidates, scores, plan.ids, step=step)
    event = Decision(
        decision=decision,
        step=step,
        until=until,
        chosen=dict(zip(names, counts.tolist(), strict=True)),
        proportions=dict.fromkeys(names, 1 / len(names)) if "mixer" in shape.kinds else None,
        judged=len(candidates) if by_score else 0,
        shortages=(),
        plan=plan.digest,
        exact=_exact(shape, decision, len(candidates)) if by_score else None,
        correlation=None if shape.exact is None or not by_score else round(0.8 - 0.12 * decision, 2),
        seconds=3.0 if by_score else 0.01,
        signal_seconds=2.5 if by_score else 0.0,
        cost=3.5 * shape.update if by_score else 0.0,
        notes={"selector": {"quality": 0.5}} if by_score else {},
    )
    return [event, *_trained(shape, names, plan.ids, step, until, rng, texts)]


def _with_reasons(one: Shown) -> Shown:
    """Two of three were looked at."""
    if one.sample % 3 == 2:
        return one
    score = one.score or 0.0
    helps = Helps(target="held", sample=one.sample % 3, cosine=score + 0.25, means={"held": score, "more": score - 1})
    return replace(one, loss=1 + one.sample / 1000, helps=helps)


def _exact(shape: Shape, decision: int, judged: int) -> int | None:
    """All of it, where the correlation is below the floor."""
    if shape.exact is None:
        return None
    return judged if 0.8 - 0.12 * decision < 0.2 else round(shape.exact * judged)


def _trained(
    shape: Shape,
    names: list[str],
    ids: Any,
    step: int,
    until: int,
    rng: np.random.Generator,
    texts: TextFile | None = None,
) -> list[Event]:
    events: list[Event] = [
        Step(step=step + 1 + i, samples=tuple(ids[i * shape.batch : (i + 1) * shape.batch].tolist()))
        for i in range(until - step)
    ]
    weighs = "weighter" in shape.kinds
    if weighs and texts is not None:
        words = ("the", f" {SCRIPT}", "", " ü", "\n", *(f" w{i}" for i in range(30)))
        drawn = (0.0, 1.25, 1.25, 2.5, *(0.1 * i for i in range(31)))
        one = Weighed(step=until, sample=int(ids[0]), tokens=words, weights=drawn, left_out=7)
        texts.write([], weighed=[replace(one, part=2 if shape.packed else 0)])
    loss = 5.0 - 3.0 * until / shape.steps + float(rng.normal(0, 0.02))
    told = WeightsFact(count=len(ids), lost=0, mean=1.0, spread=0.2, effective_share=0.9) if weighs else None
    events.append(
        Logged(step=until, means={}, training={"loss": loss}, seconds=4.0 + until - step, deciding=3.0, weights=told)
    )
    tokens = {name: 100 + i for i, name in enumerate(names)}
    losses = {name: loss * 100 * (i + 1) for i, name in enumerate(names)} if weighs else None
    weights = {name: 100.0 + 50 * i for i, name in enumerate(names)} if weighs else None
    samples = dict.fromkeys(names, 1)
    events.append(Trained(after=step, step=until, samples=samples, tokens=tokens, losses=losses, weights=weights))
    events.append(Evaluated(step=until, figures={"eval_loss": loss + 0.2 + shape.evaluation}))
    return events


def _text(sample: int, rng: np.random.Generator, tokens: int, words: int, target: str = "") -> Text:
    answer = " ".join(f"w{n}" for n in rng.integers(0, 5000, words))
    pieces = (
        Piece(role="prompt", text=f"Sample {sample}? {SCRIPT}"),
        Piece(role="answer", text=f"{answer} \u2028 ünï"),
    )
    return Text(
        sample=sample,
        pieces=pieces,
        tokens=tokens,
        trained=tokens // 2,
        cut=tokens >= 190,
        dataset="some",
        file="/data/some.jsonl",
        row=sample + 1,
        target=target,
    )
