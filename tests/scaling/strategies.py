"""The strategies of the page, and what a run with one has to work with, by the code that every run goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from dataflex_core.catalog import Catalog, discover
from dataflex_core.config import params
from dataflex_core.config.section import DataflexConfig, RunConfig
from dataflex_core.domains import Domain
from dataflex_core.planning.budget import Budget, budget_of
from dataflex_core.prepared import Chosen, PreparedRun, Slot, choose
from dataflex_core.spec import FORWARD, Kind, Need
from scaling.assumed import BATCH, CANDIDATES, MICRO_BATCHES, STEPS, TARGETS

_GIVEN: Mapping[str, Mapping[str, Any]] = {
    "column": {"column": "quality"},
    "doremi": {"reference_model": "reference"},
    "nice": {"reward": "rouge-l"},
    "rho-1": {"reference_model": "reference"},
    "rho-loss": {"reference_model": "reference"},
    "sheared": {"reference_model": "reference"},
    "static": {"proportions": [1.0]},
}
"""Parameters that the page's runs give, of strategies that have to be given some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A strategy as it is asked for: its parameters, and what of the section goes with it."""

    kind: Kind
    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    section: Mapping[str, Any] = field(default_factory=dict)
    title: str

    @property
    def chosen(self) -> Chosen:
        """With its parameters and needs, as a run has it."""
        record = _catalog().resolve(self.kind, self.name)
        made = params.validate(record.load_params(), self.params, owner=self.name)
        return choose(record, made)


@cache
def _catalog() -> Catalog:
    return discover()


def variants(kind: Kind) -> list[Variant]:
    """Every strategy of a kind that is ours, and `less` with most scores predicted."""
    records = _catalog().of_kind(kind)
    names = sorted(record.spec.name for record in records if record.distribution == "dataflex-strategies")
    found = [Variant(kind=kind, name=name, params=_GIVEN.get(name, {}), title=f"`{name}`") for name in names]
    if kind is Kind.SELECTOR:
        found.append(Variant(kind=kind, name="less", section={"exact": 0.25}, title="`less`, `exact: 0.25`"))
    return found


def budget(variant: Variant, pool: int, candidates: int | str = CANDIDATES, *, layers: int | None = None) -> Budget:
    """What a run of one pass over the pool has to work with. Raises a `UsageError` where it cannot be."""
    section = {"warmup_steps": STEPS, "update_steps": STEPS, "candidates": candidates, **variant.section}
    return budget_of(
        PreparedRun(
            config=RunConfig(args={}, dataflex=DataflexConfig(**section)),
            strategies={Slot(variant.kind): variant.chosen},
        ),
        domains=(Domain(name="pool", start=0, size=pool),),
        targets=TARGETS,
        global_batch=BATCH,
        micro_batches=MICRO_BATCHES,
        max_steps=0,
        epochs=1,
        layers=layers,
    )


def passes(chosen: Chosen) -> tuple[float, float]:
    """Forward and backward passes of a judged sample at the first decision, which make up its declared cost.

    A gradient is a forward and a backward pass. What a strategy needs beside gradients is a forward pass each; the
    rest of what it declares are gradients.
    """
    cost = chosen.cost()
    if Need.GRADIENTS not in chosen.needs:
        return cost / FORWARD, 0.0
    plain = len(chosen.needs & {Need.LOSSES, Need.EMBEDDINGS})
    gradients = cost - plain * FORWARD
    return plain + gradients, gradients
