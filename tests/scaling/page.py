"""The tables of docs/scaling.md, from the code's arithmetic and what was measured. What they say is written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from experiments.page import replaced

from dataflex_core.errors import InvalidConfig
from dataflex_core.planning.budget import Budget
from dataflex_core.spec import Kind, Need
from scaling.assumed import BANDWIDTH, BATCH, CANDIDATES, GPUS, LORA, MODELS, POOLS, STEPS, TARGETS, seconds_of_steps
from scaling.results import Results
from scaling.strategies import Variant, budget, passes, variants
from scaling.weighed import bytes_of

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
_SCALES: tuple[tuple[int, int | str], ...] = ((POOLS[0], CANDIDATES), *((pool, "all") for pool in POOLS))
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def written(text: str, results: Results) -> str:
    """The page with tables made anew."""
    tables = {
        "decisions": _decisions(),
        "time, candidates": _time(POOLS[0], CANDIDATES),
        "time, all": _time(POOLS[1], "all"),
        "bytes": _bytes(results),
        "memory": _memory(),
        "steps": _steps(),
        "store": _store(results),
        "simulation": _simulation(results),
    }
    for name, lines in tables.items():
        text = replaced(text, name, "\n".join(lines))
    return text


def _decisions() -> Iterator[str]:
    """Passes of a judged sample, and a decision's cost in the training of its interval."""
    yield "| selector | forwards | backwards | a target sample | candidates: 4 | all of 10⁶ | all of 10⁸ |"
    yield "|---|---|---|---|---|---|---|"
    for variant in variants(Kind.SELECTOR):
        known = [_at(variant, scale) for scale in _SCALES]
        shares = [None if one is None else one.decision_cost / STEPS for one in known]
        chosen = variant.chosen
        cells = [*map(_number, passes(chosen)), _number(chosen.target_cost()), *map(_share, shares)]
        yield f"| {variant.title} | {' | '.join(cells)} |"


def _time(pool: int, candidates: int | str) -> Iterator[str]:
    """How long a decision takes, of selectors that ask the model anything."""
    yield "| selector | " + " | ".join(f"{model.name}, {gpus}" for model in MODELS for gpus in GPUS) + " |"
    yield "|---|" + "---|" * len(MODELS) * len(GPUS)
    rows = [("*training until the next one*", float(STEPS))]
    for variant in variants(Kind.SELECTOR):
        known = _at(variant, (pool, candidates))
        if known is not None and known.decision_cost:
            rows.append((variant.title, known.decision_cost))
    for title, steps in rows:
        cells = [_duration(seconds_of_steps(model, gpus, steps)) for model in MODELS for gpus in GPUS]
        yield f"| {title} | {' | '.join(cells)} |"


def _bytes(results: Results) -> Iterator[str]:
    """What every rank is given of the judged samples, and holds: of the two models where it depends on them."""
    yield "| selector | a sample | candidates: 4 | all of 10⁶ | all of 10⁸ | in seconds |"
    yield "|---|---|---|---|---|---|"
    for variant in variants(Kind.SELECTOR):
        found = results.gathered[variant.title]
        each = [found.bytes(model.hidden) for model in MODELS]
        if not each[0]:
            continue
        judged = [_scored(_at(variant, scale)) for scale in _SCALES]
        cells = [_both([size * count if count else None for size in each]) for count in (1, *judged)]
        last = _both_times([size * (judged[-1] or 0) / BANDWIDTH for size in each])
        yield f"| {variant.title} | {' | '.join(cells)} | {last} |"


def _memory() -> Iterator[str]:
    yield f"| model | LoRA, rank {LORA} | directions of {len(TARGETS)} subtasks | the same, all parameters |"
    yield "|---|---|---|---|"
    for model in MODELS:
        adapter = model.adapter(LORA)
        sizes = [4 * len(TARGETS) * count for count in (adapter, model.parameters)]
        yield f"| {model.name} | {adapter / 1e6:.0f} million | {' | '.join(map(_size, sizes))} |"


def _steps() -> Iterator[str]:
    """What mixers and weighters add to each step."""
    yield "| strategy | a step | gathered at a step, " + " | ".join(model.name for model in MODELS) + " |"
    yield "|---|---|---|---|"
    for kind in (Kind.MIXER, Kind.WEIGHTER):
        for variant in variants(kind):
            cost, needs = budget(variant, POOLS[0]).step_cost, variant.chosen.needs
            weighs = kind is Kind.WEIGHTER or Need.LOSS_WEIGHTS in needs
            cells = [_size(BATCH * bytes_of(needs, model.hidden)) if weighs else "0" for model in MODELS]
            yield f"| {kind} {variant.title} | +{_share(cost)} | {' | '.join(cells)} |"


def _store(results: Results) -> Iterator[str]:
    yield "| numbers of an answer | bytes a sample | 10⁶ samples | 10⁸ samples |"
    yield "|---|---|---|---|"
    for values, size in results.stored.items():
        yield f"| {values} | {size:,.0f} | {' | '.join(_size(pool * size) for pool in POOLS)} |"


def _simulation(results: Results) -> Iterator[str]:
    seconds = "planning | agreeing | journalling"
    yield f"| ranks | judged | {seconds} | gathered | agreed on | journal: decision, steps | memory |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for run in results.simulated:
        setting, spent = run.setting, run.spent
        times = (spent.planning, spent.agreeing, spent.journalling)
        cells = [f"{setting.judged:,} of {setting.pool:,}", *(f"{1000 * each:,.1f} ms" for each in times)]
        cells += [_size(spent.gathered), _size(spent.agreed), f"{_size(spent.decision)}, {_size(spent.steps)}"]
        yield f"| {setting.ranks:,} | {' | '.join(cells)} | {_size(run.memory) if run.memory else ''} |"
    yield ""
    yield f"`{results.device}`, {results.date}."


def _at(variant: Variant, scale: tuple[int, int | str]) -> Budget | None:
    """What a run with a variant has to work with, at a scale; None where it refuses that."""
    try:
        return budget(variant, *scale)
    except InvalidConfig:
        return None


def _scored(known: Budget | None) -> int | None:
    return None if known is None else known.judged if known.exact is None else known.exact


def _both(sizes: Iterable[float | None]) -> str:
    return " / ".join(dict.fromkeys("—" if size is None else _size(size) for size in sizes))


def _both_times(seconds: Iterable[float]) -> str:
    return " / ".join(dict.fromkeys(map(_duration, seconds)))


def _size(size: float) -> str:
    power = 0
    while size >= 1000 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{size:.3g} {_UNITS[power]}"


def _duration(seconds: float) -> str:
    for size, unit in _TIMES:
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return "< 1 s"


def _share(share: float | None) -> str:
    if share is None:
        return "—"
    return f"{share:.0%}" if share < 10 else f"{share:,.0f} ×"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
