"""Curves of held-out loss against compute, as small SVG files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.figures import loss_within
from experiments.results import Result


def draw(runs: Mapping[str, Mapping[int, Result]], budgets: Sequence[float], path: Path, *, title: str) -> None:
    """The mean over seeds of each arm, and a band of one standard deviation of it; byte for byte the same each time."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    matplotlib.rcParams.update({"svg.hashsalt": path.name, "svg.fonttype": "none", "font.size": 9})
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, seeds in runs.items():
        table = np.array([[loss_within(result, budget) for budget in budgets] for result in seeds.values()])
        mean, error = table.mean(axis=0), table.std(axis=0) / np.sqrt(len(table))
        style: dict[str, Any] = {"color": "black", "linewidth": 2} if name == "random" else {}
        (line,) = axes.plot(budgets, mean, marker="o", markersize=3, label=name, **style)
        axes.fill_between(budgets, mean - error, mean + error, color=line.get_color(), alpha=0.15, linewidth=0)
    axes.set(xlabel="compute, in training steps", ylabel="held-out loss", title=title)
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
