"""The reorders of DataFlex 1.x, which train the pool in an order: here the selector ``curriculum``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Le, Lt

from dataflex_core.compat.components import Read, written
from dataflex_core.compat.keys import OldKeys, typed
from dataflex_core.errors import InvalidConfig
from dataflex_core.wording import did_you_mean

CURRICULUM = "curriculum"

_PATTERNS = {
    "shuffle": "shuffle",
    "sorting": "sort",
    "folding": "fold",
    "zigzag": "zigzag",
    "segment": "segment",
    "stair": "stair",
    "saw": "saw",
}
_EARLIER = ("higher_earlier", "lower_is_better")
_POLARITIES = ("higher_later", "higher_is_better", *_EARLIER)
_SOURCES = ("precomputed", "model_loss", "cached_selection")
_KNOWN = {
    *("kind", "pattern", "apply_at", "polarity", "ascending", "window_size", "seed", "score_source", "score_params"),
    *("pattern_params", "reorder_every", "consume_once", "num_sections", "folding_ratio", "x_pct", "y_pct"),
    *("front_is_high", "back_is_high", "layers", "folding_layer", "zigzag_layer"),
}
_DYNAMIC = {"kind": "dynamic", "polarity": "higher_later", "score_source": "model_loss"}
_SAW = {"num_sections": 3, "folding_ratio": 0.075, "layers": 2}
# 1.1.0's own components file; what it says as its code does by itself is left out.
_SHIPPED: dict[str, dict[str, Any]] = {
    "sorting": {"kind": "static", "pattern": "sorting"},
    "shuffle": {"kind": "static", "pattern": "shuffle"},
    "segment": {"kind": "static", "pattern": "segment"},
    "folding": {"kind": "static", "pattern": "folding", "layers": 3},
    "zigzag": {"kind": "static", "pattern": "zigzag", "layers": 3},
    "stair": {"kind": "static", "pattern": "stair", "num_sections": 2, "folding_ratio": 0.225, "layers": 3},
    "saw": {"kind": "static", "pattern": "saw", **_SAW},
    "dynamic_saw": {**_DYNAMIC, "pattern": "saw", **_SAW, "score_params": {"max_samples": 20000}},
    "dynamic_folding": {**_DYNAMIC, "pattern": "folding", "layers": 3, "score_params": {"max_samples": 20000}},
    "reuse_selector_scores": {**_DYNAMIC, "pattern": "saw", **_SAW, "score_source": "cached_selection"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """Parameters of a reorder that are counted or reckoned with; those that are names of something are not here."""

    ascending: bool = True
    window_size: Annotated[int, Ge(0)] = 0
    reorder_every: Annotated[int, Ge(0)] = 1
    consume_once: bool = True
    num_sections: Annotated[int, Ge(1)] = 2
    folding_ratio: Annotated[float, Ge(0), Lt(0.5)] = 0.0
    x_pct: Annotated[float, Ge(0), Le(100)] = 10.0
    y_pct: Annotated[float, Ge(0), Le(100)] = 10.0
    front_is_high: bool = False
    back_is_high: bool = True
    layers: Annotated[int, Ge(1)] | None = None
    folding_layer: Annotated[int, Ge(1)] | None = None
    zigzag_layer: Annotated[int, Ge(1)] | None = None
    score_params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cycles(self) -> int | None:
        """How often the pattern goes through the scores, by the first of the keys that says so."""
        return next((n for n in (self.layers, self.folding_layer, self.zigzag_layer) if n is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scoring:
    """What a reorder says of its scores."""

    score_path: str | None = None
    score_field: str | None = None
    max_samples: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordering:
    """The strategy, with its parameters; the columns that it reads; notices.

    ``at_once`` is whether its order is made once, and begins with the first step.
    """

    strategy: dict[str, Any]
    columns: tuple[str, ...] = ()
    at_once: bool = True
    notices: tuple[str, ...] = ()


def reordering(old: OldKeys, read: Read) -> Reordering:
    """What the reorder that ``old`` names is here. Raises `InvalidConfig` for what has no counterpart."""
    component, found, notices = written(old, _SHIPPED, read)
    params = _flat(component, found)
    dynamic = _of(component, params, "kind", ("static", "dynamic"), component) == "dynamic"
    pattern = _of(component, params, "pattern", _PATTERNS, "sorting")
    numbers = typed(_Numbers, params, f"reorder {component}")
    score, columns, lost = _score(
        component, params, numbers.score_params, dynamic=dynamic, shuffled=pattern == "shuffle"
    )
    shape, backwards, said = _shape(component, pattern, numbers)
    falling = not numbers.ascending
    if _of(component, params, "polarity", _POLARITIES, "higher_earlier" if dynamic else "higher_later") in _EARLIER:
        falling = not falling
    if dynamic:
        said = (*said, *_refreshed(component, old, numbers))
    made = {
        **score,
        "pattern": _PATTERNS[pattern],
        **shape,
        **({"hardest_first": True} if falling is not backwards else {}),
        **({"refresh": True} if dynamic else {}),
        **({"window": numbers.window_size} if numbers.window_size else {}),
    }
    if "seed" in params:
        lost = (*lost, f"seed of reorder {component}: without effect, the run's own seed decides")
    return Reordering(
        strategy={"name": CURRICULUM, **made},
        columns=columns,
        at_once=not dynamic,
        notices=(*notices, *lost, *said),
    )


def _flat(component: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with those of the pattern among them, which win."""
    inner = found.get("pattern_params") or {}
    if not isinstance(inner, Mapping):
        raise InvalidConfig(f"reorder {component}: pattern_params is no section", hint="write NAME: VALUE below it")
    flat = {**found, **inner}
    if odd := next((key for key in flat if key not in _KNOWN), None):
        raise InvalidConfig(f"reorder {component} of DataFlex 1.x has no {odd}", hint=did_you_mean(str(odd), _KNOWN))
    return flat


def _of(component: str, params: Mapping[str, Any], key: str, known: Any, default: str) -> str:
    value = str(params.get(key) or default)
    if value not in known:
        raise InvalidConfig(f"reorder {component}: {key} {value!r}", hint=did_you_mean(value, known))
    return value


def _score(
    component: str, params: Mapping[str, Any], written: Mapping[str, Any], *, dynamic: bool, shuffled: bool
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """What the order goes by, as parameters; the columns of that; notices."""
    source = _of(component, params, "score_source", _SOURCES, "model_loss" if dynamic else "precomputed")
    asked = typed(_Scoring, written, f"reorder {component}: score_params")
    if source == "cached_selection":
        raise InvalidConfig(
            f"reorder {component}: score_source cached_selection reads what a selector of 1.x left",
            hint="leave score_source out to go by the model's loss, or go by a column of the data: precomputed",
        )
    if source == "precomputed":
        if asked.score_path:
            raise InvalidConfig(
                f"reorder {component}: score_path is not read", hint="put the scores into the data as score_field"
            )
        if shuffled:
            return {"score": "length"}, (), ()  # which costs nothing, and decides nothing
        column = asked.score_field or "score"
        return {"column": column}, (column,), ()
    if asked.max_samples is not None:
        raise InvalidConfig(
            f"reorder {component}: max_samples scores a part of the pool",
            hint="leave it out: all that is left is scored at each decision; or kind: static, which scores once",
        )
    given = [key for key in ("batch_size", "num_workers") if key in written]
    said = f"{', '.join(given)} of reorder {component}: without effect, dataflex.token_budget bounds a batch of losses"
    return {"score": "loss"}, (), (said,) if given else ()


def _shape(component: str, pattern: str, numbers: _Numbers) -> tuple[dict[str, Any], bool, tuple[str, ...]]:
    """The pattern's own parameters; whether it goes from high to low; notices."""
    if pattern in ("folding", "zigzag"):
        return {"cycles": numbers.cycles or 5}, False, ()
    if pattern in ("stair", "saw"):
        shape = {"sections": numbers.num_sections, "rho": numbers.folding_ratio}
        return {"cycles": numbers.cycles or 2, **shape}, False, ()
    if pattern != "segment":
        return {}, False, ()
    front, back = numbers.front_is_high, numbers.back_is_high
    if front is back:
        raise InvalidConfig(
            f"reorder {component}: both ends are {'high' if front else 'low'}",
            hint="let one of front_is_high and back_is_high be true",
        )
    if numbers.x_pct + numbers.y_pct > 100:
        raise InvalidConfig(
            f"reorder {component}: x_pct and y_pct are more than the pool", hint="let their sum be at most 100"
        )
    shape = {"low": numbers.x_pct / 100, "high": numbers.y_pct / 100}
    return shape, front, (f"reorder {component}: the ends of segment stay in order of score; 1.x shuffles them",)


def _refreshed(component: str, old: OldKeys, numbers: _Numbers) -> tuple[str, ...]:
    """Notices about a dynamic reorder."""
    if numbers.reorder_every > 1:
        raise InvalidConfig(
            f"reorder {component}: reorder_every {numbers.reorder_every} has no counterpart",
            hint="set it to 1, or kind: static for an order that is made once",
        )
    if not numbers.consume_once:
        raise InvalidConfig(
            f"reorder {component}: consume_once false has no counterpart",
            hint="set it to true: each sample is trained once before any again",
        )
    if not old.warmup_step:
        return ()
    return (f"reorder {component}: samples of the warm-up are trained again in their turn; 1.x leaves them out",)
