"""What charts are made of: plain plotly.js figures, JSON values without any colour of their own.

A colour is written ``@NAME``, ``@0`` to ``@11``, ``@accent``, ``@muted``, ``@soft`` or ``@text``: the page puts
in its theme's.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Trace = dict[str, Any]

OTHERS = "all others"
_NAMES = 11
_MARKS = 60
_FEW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """``values`` over ``steps``, of training or of its work; None where there is none."""

    name: str
    steps: tuple[float, ...]
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A figure: ``data`` and ``layout`` are plotly's. With ``frames`` a slider shows one ``data`` after the other.

    ``says`` is a line below the title, for those who do not see the figure, too.
    """

    id: str
    title: str
    says: str
    data: list[Trace]
    layout: dict[str, Any] = field(default_factory=dict)
    frames: list[tuple[str, list[Trace]]] = field(default_factory=list)
    wide: bool = False


def line(curve: Curve, colour: str, **more: Any) -> Trace:
    """A curve, with its points where they are few."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(curve.steps) <= 60 else "lines",
        "name": curve.name,
        "x": list(curve.steps),
        "y": list(curve.values),
        "line": {"color": colour, "width": 2},
        "marker": {"size": 5},
        **more,
    }


def titled(x: str, y: str, **more: Any) -> dict[str, Any]:
    """A layout with titles of both axes."""
    return {"xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}}, **more}


def over_steps(last: float, y: str, **more: Any) -> dict[str, Any]:
    """A layout over optimizer steps until ``last``: of few steps none is split."""
    layout = titled("step", y, **more)
    layout["xaxis"] |= {"dtick": 1} if last <= _FEW else {}
    return layout


def marks(steps: Sequence[int]) -> list[dict[str, Any]]:
    """Upright dotted lines; of very many, every so many-th."""
    drawn = {"color": "@soft", "width": 1.5, "dash": "dot"}
    few = steps[:: -(-len(steps) // _MARKS) or 1]
    return [
        {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "layer": "below", "line": drawn}
        for x in few
    ]


def few_of(names: Iterable[str], weight: Mapping[str, float]) -> list[str]:
    """The domains with a colour of their own: all, or the largest where there are many."""
    every = list(names)
    if len(every) <= _NAMES + 1:
        return every
    largest = set(sorted(every, key=lambda name: -weight.get(name, 0.0))[:_NAMES])
    return [name for name in every if name in largest]


def together(values: Mapping[str, float], shown: Sequence[str]) -> dict[str, float]:
    """The shares of the domains shown, and of all others as one."""
    found = {name: values.get(name, 0.0) for name in shown}
    rest = sum(share for name, share in values.items() if name not in found)
    return {**found, OTHERS: rest} if len(values) > len(found) else found


def histogram(
    edges: Sequence[float], every: Sequence[float], chosen: Sequence[float], first: str = "judged"
) -> list[Trace]:
    """Counts between ``edges`` of all, called ``first``, and of what was chosen among them, in front."""
    middles = [(a + b) / 2 for a, b in itertools.pairwise(edges)]
    widths = [b - a for a, b in itertools.pairwise(edges)]
    both = ((first, every, "@muted"), ("chosen", chosen, "@accent"))
    return [
        {
            "type": "bar",
            "name": name,
            "x": middles,
            "y": list(counts),
            "width": widths,
            "marker": {"color": colour, "opacity": 0.75},
        }
        for name, counts, colour in both
    ]
