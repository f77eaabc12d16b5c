"""What a run is: its strategies, their parameters, its schedule and its data, for a later run to compare with."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

import dataflex_core
from dataflex_core.config.plain import plain, plain_values
from dataflex_core.config.section import DataflexConfig
from dataflex_core.planning.budget import Budget
from dataflex_core.prepared import PreparedRun
from dataflex_core.scoring.fingerprint import digest_of_samples, digest_of_text

Provenance = Mapping[str, Mapping[str, Any]]
"""Facts by part and name; the parts are those of `PARTS`, and ``versions``, which may differ."""

PARTS = ("strategies", "parameters", "schedule", "data")
_PLANNED_BY = ("warmup_proportions", "exact", "exact_floor", "features", "spread")


def provenance_of(
    prepared: PreparedRun,
    budget: Budget,
    pool: Any,
    targets: Mapping[str, Any],
    *,
    holdout: Mapping[str, Any] | None = None,
    columns: Mapping[str, NDArray[Any]] | None = None,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Of a run whose data is loaded. Reads all of it: a second or so per gigabyte of token ids."""
    chosen = prepared.strategies
    schedule = budget.schedule
    return {
        "strategies": {str(slot): item.record.id for slot, item in chosen.items()},
        "parameters": {
            f"{slot}.{name}": value
            for slot, item in chosen.items()
            for name, value in plain_values(item.params).items()
        },
        "schedule": {
            "warmup_steps": schedule.warmup_steps,
            "update_steps": schedule.update_steps,
            "steps": schedule.total_steps,
            "judged": budget.judged,
            "global batch": budget.global_batch,
            "exhaustion": prepared.config.dataflex.exhaustion,
            "seed": seed,
            **({} if budget.mean_tokens is None else {"unit": "tokens"}),
            **_planned_by(prepared.config.dataflex),
        },
        "data": {
            **{d.name: digest_of_samples(_part(pool, d.start, d.size)) for d in budget.domains},
            **{f"target set {name}": digest_of_samples(data) for name, data in targets.items()},
            **{f"held out of {name}": digest_of_samples(data) for name, data in (holdout or {}).items()},
            **{f"column {name}": digest_of_text(*map(repr, v.tolist())) for name, v in (columns or {}).items()},
        },
        "versions": {
            "dataflex-core": dataflex_core.__version__,
            **{item.record.distribution: item.record.version for item in chosen.values()},
        },
    }


def differences(before: Provenance, now: Provenance, part: str) -> list[str]:
    """What is otherwise than it was, for people."""
    was, is_ = before.get(part, {}), now[part]
    if part == "parameters":  # those of another strategy are no change of this one's
        kept = {slot for slot, name in now["strategies"].items() if before.get("strategies", {}).get(slot) == name}
        was, is_ = ({key: v for key, v in given.items() if key.rpartition(".")[0] in kept} for given in (was, is_))
    told = []
    for name in [*was, *(name for name in is_ if name not in was)]:
        if plain(was.get(name)) == is_.get(name):  # an infinite number was once written as one
            continue
        if part == "data":
            change = "is new" if name not in was else "is gone" if name not in is_ else "has changed"
            named = name if name.startswith(("target set", "held out of", "column")) else f"data set {name}"
            told.append(f"{named} {change}")
        else:
            told.append(f"{name} was {was.get(name, 'not there')}, is {is_.get(name, 'not there')}")
    return told


def _planned_by(config: DataflexConfig) -> dict[str, Any]:
    """What else of the section plans hang on, where it is not as it is by itself."""
    stock = DataflexConfig()
    written = {name: getattr(config, name) for name in _PLANNED_BY if getattr(config, name) != getattr(stock, name)}
    return {name: dataclasses.asdict(value) if name == "spread" else value for name, value in written.items()}


def _part(pool: Any, start: int, size: int) -> Any:
    select = getattr(pool, "select", None)
    return select(range(start, start + size)) if callable(select) else pool[start : start + size]
