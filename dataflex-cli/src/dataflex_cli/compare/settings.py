"""Which runs are alike: what decides how a run goes, but for chance."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dataflex_cli.report.changes import named
from dataflex_cli.report.model import Change
from dataflex_core.journal import Start

Settings = dict[str, Any]

_INDIFFERENT = {
    "allow_changed", "chunked_loss", "flush_seconds", "keep", "loss_by_domain", "mixer", "report_texts", "selector",
    "store", "store_token_losses", "token_budget", "weighter",
}  # fmt: skip
"""Of the `dataflex:` section: what changes nothing that is decided, and strategies, which stand by themselves."""
_UNNAMED = {"changes", "decisions", "domains", "targets", "updates"}
"""Too long for a name, or told by the steps."""
_TOLD = 3
_LONG = 24


def settings_of(start: Start, changes: Sequence[Change] = ()) -> Settings:
    """By name what two runs must have in common to be of one group: all but seeds, ranks and where files lie.

    Strategies with their parameters, the `dataflex:` section, model, pool, target sets, batch and steps, the arguments
    of LLaMA-Factory that are recorded, and what a run changed as it went on.
    """
    found: Settings = {"strategies": ", ".join(named(start.strategies))}
    if changes:
        found["changed after step"] = ", ".join(f"{change.step}" for change in changes)
        found["changes"] = [[change.step, *change.told] for change in changes]
    for fact in start.strategies:
        slot = fact.kind if fact.position == 0 else f"{fact.kind}.{fact.position}"
        found |= {f"{slot}.{name}": value for name, value in _flat(fact.params).items()}
    section = {name: value for name, value in start.config.items() if name not in _INDIFFERENT}
    found |= _flat(section)
    found |= {"model": start.model, "pool": sum(start.domains.values()), "target set": sum(start.targets.values())}
    found |= {"domains": list(start.domains.items()), "targets": list(start.targets.items())}
    plan = {"warmup_steps": start.warmup_steps, "update_steps": start.update_steps, "decisions": start.decisions}
    found |= plan | {"samples a step": start.global_batch, "steps": start.steps}
    arguments = start.arguments.items()  # of which warmup_steps is the learning rate's
    return found | {name if name not in found else f"LLaMA-Factory's {name}": value for name, value in arguments}


def grouped(settings: Sequence[Settings], apart: Callable[[int, int], bool]) -> tuple[list[int], list[str]]:
    """For each run the number of its group, in the order in which groups first occur; and the groups' names.

    ``apart`` tells of two runs whether something else sets them apart. A group is called by its strategies and, where
    others have the same, by what is different.
    """
    keys = [_key(one) for one in settings]
    firsts: list[int] = []
    of = []
    for run, key in enumerate(keys):
        found = next((i for i, other in enumerate(firsts) if keys[other] == key and not apart(other, run)), None)
        if found is None:
            found = len(firsts)
            firsts.append(run)
        of.append(found)
    return of, _names([settings[first] for first in firsts])


def _names(groups: Sequence[Settings]) -> list[str]:
    count = Counter(one["strategies"] for one in groups)
    names = []
    for one in groups:
        name = str(one["strategies"])
        if count[name] > 1:
            alike = [other for other in groups if other["strategies"] == name]
            keys = dict.fromkeys(key for other in alike for key in other if key not in _UNNAMED)
            differing = [key for key in keys if _differs(key, alike)]
            apart = [key for key in differing if key != "model"] or differing  # paths of models are long
            told = [f"{key} {_short(one[key])}" for key in apart if one.get(key) is not None][:_TOLD]
            name = ", ".join([name, *told])
        names.append(name)
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]


def _differs(key: str, groups: Sequence[Settings]) -> bool:
    return len({_key(one.get(key)) for one in groups}) > 1


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _short(value: Any) -> str:
    text = str(value)
    if len(text) <= _LONG:
        return text
    return f"…{text[-_LONG:]}" if os.sep in text else f"{text[:_LONG]}…"  # of a path the end says more


def _flat(values: Mapping[str, Any], before: str = "") -> Settings:
    found: Settings = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found
