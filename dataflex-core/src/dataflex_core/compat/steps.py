"""How many steps a file of DataFlex 1.x trains, and when it decides. Arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from dataflex_core.compat.keys import OldKeys
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind

_EPOCHS = 3.0  # transformers' own default


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Keys of the section; LLaMA-Factory's ``max_steps``, where the file says it (None: not); what there is to say."""

    section: dict[str, int] = field(default_factory=dict)
    max_steps: int | None = None
    notices: tuple[str, ...] = ()


def steps_of(old: OldKeys, *, epochs: Any, max_steps: Any) -> Steps:
    """The schedule of ``old`` beside LLaMA-Factory's ``num_train_epochs`` and ``max_steps``, as they were written.

    Raises `InvalidConfig` where 1.x would divide by zero, or never decide.
    """
    if old.kind is None:
        return Steps(max_steps=max_steps)
    if old.kind is Kind.WEIGHTER:
        return Steps(section={"warmup_steps": old.warmup_step}, max_steps=_train_step(old) or max_steps)
    if old.static_mix and old.kind is Kind.MIXER:
        made = {"warmup_steps": 0}
    elif old.update_step == 0:
        raise InvalidConfig(f"{old.train_type} needs update_step", hint="set update_step to at least 1")
    else:
        made = {"warmup_steps": old.warmup_step, "update_steps": old.update_step}
    end = _of_selector(old, epochs) if old.kind is Kind.SELECTOR else _of_mixer(old, epochs)
    notices = end.notices
    if _number(max_steps, default=-1) > 0:
        idle = f"max_steps: without effect with {old.train_type}, as in 1.x; train_step sets the number of steps"
        notices = (idle, *notices)
    return replace(end, section={**made, **end.section}, notices=notices)


def without_warmup(steps: Steps) -> Steps:
    """The same steps, each after a decision: for an order that is made once, and that the warm-up begins in 1.x."""
    section = {**steps.section, "warmup_steps": 0}
    if not steps.section.get("warmup_steps"):
        return steps
    updates = section.pop("updates", None)
    end = steps.max_steps
    if updates is not None:
        end = steps.section["warmup_steps"] + updates * section["update_steps"]
    return replace(steps, section=section, max_steps=end)


def _of_selector(old: OldKeys, epochs: Any) -> Steps:
    """Stages of a warm-up and ``update_times`` decisions, ``num_train_epochs`` of them, or ``train_step`` steps."""
    if old.update_times <= 0:
        return Steps(max_steps=_train_step(old))
    stage = old.warmup_step + old.update_step * old.update_times
    total = _train_step(old) or math.ceil(_number(epochs) * stage)
    if total == stage:
        return Steps(section={"updates": old.update_times})
    if total < stage:
        return Steps(max_steps=total)
    stages = (
        f"the {total} steps are 1.x's stages of {stage}, each with a warm-up of its own; "
        "here the run warms up once, and goes on to decide"
    )
    return Steps(max_steps=total, notices=(stages,))


def _of_mixer(old: OldKeys, epochs: Any) -> Steps:
    """``train_step`` steps, or passes over the data, or a warm-up and ``update_times`` decisions."""
    if old.train_step > 0:
        return Steps(max_steps=old.train_step)
    if old.static_mix or old.update_times < 0:
        key = "static_mix" if old.static_mix else f"update_times {old.update_times}"
        passes = f"{key}: the run ends after num_train_epochs passes over the data"
        return Steps(notices=(f"{passes}, rounded up to whole batches; 1.x rounds down",))
    if old.update_times == 0:
        raise InvalidConfig("update_times 0 leaves dynamic_mix no decision", hint="set static_mix: true and train_step")
    idle = "num_train_epochs: without effect with dynamic_mix and update_times, as in 1.x"
    return Steps(
        section={"updates": old.update_times}, notices=(idle,) if epochs is not None and _number(epochs) != 1 else ()
    )


def _train_step(old: OldKeys) -> int | None:
    return old.train_step if old.train_step > 0 else None


def _number(written: Any, default: float = _EPOCHS) -> float:
    try:
        number = default if written is None else float(written)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidConfig(f"{written!r} is no number of epochs or steps", hint="see num_train_epochs and max_steps")
    return number
