"""A plugin whose strategies read columns and rows, and leave what they saw where a test finds it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from dataflex_core import Kind, Mixer, Selection, Selector, StrategySpec, Weighter, hookimpl, mean_by_domain, top
from dataflex_core.catalog import Catalog, Record

SEEN = "ROWS_PLUGIN_SEEN"


class KnowingSelector(Selector):
    """The candidates of the highest quality; keeps the rows that it chose, in this process and in the folder `SEEN`."""

    seen: ClassVar[list] = []

    def setup(self, context):
        assert len(context.column("quality")) == context.pool

    def select(self, request):
        ids = top(request.candidates, request.column("quality")[request.candidates].astype("f4"), request.count)
        rows = [[str(row) for row in rows] for rows in request.signals.row(ids)]
        told = {"step": request.progress.step, "ids": ids.tolist(), "rows": rows}
        self.seen.append(told)
        if SEEN in os.environ:
            with (Path(os.environ[SEEN]) / f"{os.environ.get('RANK', '0')}.jsonl").open("a") as file:
                file.write(json.dumps(told) + "\n")
        return Selection(ids=ids, ordered=True)


class AskingSelector(Selector):
    """Asks for rows, and chooses the first candidates."""

    def select(self, request):
        request.signals.row(request.candidates)
        return Selection(ids=request.candidates[: request.count])


class KnowingMixer(Mixer):
    """In proportion to the mean quality of the domains' samples."""

    def mix(self, request):
        quality = request.column("quality")
        return mean_by_domain(request.domains, np.arange(len(quality)), quality) + 1


class KnowingWeighter(Weighter):
    """By quality, of which it learns the mean as an interval begins."""

    def prepare(self, request):
        self.mean = request.column("quality").mean()

    def weigh(self, request, losses):
        quality = request.column("quality")[request.ids.cpu().numpy()]
        return torch.as_tensor(quality / self.mean + 1, dtype=torch.float32)


def _specs():
    for kind in Kind:
        target = f"rows_plugin:Knowing{kind.value.capitalize()}"
        yield StrategySpec(kind=kind, name="knowing", target=target, summary="reads columns and rows")
    yield StrategySpec(kind=Kind.SELECTOR, name="asking", target="rows_plugin:AskingSelector", summary="asks for rows")


@hookimpl
def dataflex_strategies():
    """One of each kind."""
    yield from _specs()


def catalog() -> Catalog:
    """The same, without installing it."""
    return Catalog(records=tuple(Record(spec=spec, distribution="rows", version="1") for spec in _specs()))
