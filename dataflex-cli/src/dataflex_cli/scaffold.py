"""A new plugin: what it is called, what it holds at first, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import jinja2

import dataflex_core
from dataflex_core import Kind, Need, StrategyFault, StrategySpec, UsageError

_NUMPY, _TORCH = "numpy>=1.26", "torch>=2.4"
_WIDTH = 120


class Template(StrEnum):
    """What a plugin of a kind may start from, where there is more than one thing."""

    SCORING = "scoring"
    PLAIN = "plain"
    REFERENCE = "reference"
    DIVERSITY = "diversity"
    BANDIT = "bandit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """What a new plugin starts from. ``folder`` has its templates, ``setting`` is an example for ``--set``."""

    kind: Kind
    folder: str
    summary: str
    setting: str
    library: str
    needs: frozenset[Need] = frozenset()
    reference: str = ""


SKETCHES = (
    Sketch(
        kind=Kind.SELECTOR,
        folder=Template.SCORING,
        summary="samples that are neither too easy nor too hard",
        setting="quantile=0.3",
        library=_NUMPY,
        needs=frozenset({Need.LOSSES}),
    ),
    Sketch(
        kind=Kind.SELECTOR,
        folder=Template.PLAIN,
        summary="a random draw that prefers samples not chosen before",
        setting="again=0.1",
        library=_NUMPY,
    ),
    Sketch(
        kind=Kind.SELECTOR,
        folder=Template.REFERENCE,
        summary="samples whose loss a reference model shows to be reducible",
        setting="reference_model=base",
        library=_NUMPY,
        needs=frozenset({Need.LOSSES}),
        reference="arXiv:2206.07137",
    ),
    Sketch(
        kind=Kind.SELECTOR,
        folder=Template.DIVERSITY,
        summary="samples that cover the candidates, by their embeddings",
        setting="layer=-2",
        library=_NUMPY,
        needs=frozenset({Need.EMBEDDINGS}),
        reference="arXiv:1708.00489",
    ),
    Sketch(
        kind=Kind.MIXER,
        folder="mixer",
        summary="in proportion to a power of each domain's training loss",
        setting="power=2",
        library=_NUMPY,
    ),
    Sketch(
        kind=Kind.MIXER,
        folder=Template.BANDIT,
        summary="a bandit that trains more of what rewards training",
        setting="explore=0.2",
        library=_NUMPY,
        reference="arXiv:2312.02406",
    ),
    Sketch(
        kind=Kind.WEIGHTER,
        folder="weighter",
        summary="exponentially by the loss: a high one counts for more, or for less",
        setting="tilt=-1",
        library=_TORCH,
        reference="arXiv:2007.01162",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """A distribution that offers one strategy."""

    name: str
    sketch: Sketch

    @property
    def distribution(self) -> str:
        """What pip calls it."""
        return f"dataflex-{self.name}"

    @property
    def package(self) -> str:
        """What Python imports."""
        return self.distribution.replace("-", "_")

    @property
    def strategy_class(self) -> str:
        """The strategy's class."""
        return "".join(word.capitalize() for word in (*self.name.split("-"), self.sketch.kind))

    @property
    def spec(self) -> StrategySpec:
        """What the plugin will declare. Raises `UsageError` where the name is malformed."""
        try:
            return StrategySpec(
                kind=self.sketch.kind,
                name=self.name,
                target=f"{self.package}.strategy:{self.strategy_class}",
                params=f"{self.package}.strategy:Params",
                summary=self.sketch.summary,
                reference=self.sketch.reference,
                needs=self.sketch.needs,
            )
        except StrategyFault as fault:
            raise UsageError(fault.message, hint=fault.hint) from None

    def write(self, folder: Path) -> None:
        """Every file of the plugin into ``folder``."""
        templates, values = _templates(), self._values(single=False)
        for name in templates.list_templates():
            part, _, inside = name.partition("/")
            if part in ("any", self.sketch.folder):
                path = folder / inside.replace("PACKAGE", self.package).removesuffix(".jinja")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(templates.get_template(name).render(values), encoding="utf-8")

    def single_file(self) -> str:
        """A file with the strategy, its parameters and the hook."""
        templates, values = _templates(), self._values(single=True)
        parts = (f"{self.sketch.folder}/src/PACKAGE/strategy.py.jinja", "hook.jinja")
        return "\n\n".join(templates.get_template(name).render(values) for name in parts)

    def _imports_beside_hook(self, names: str) -> str:
        needs = ["Need"] if self.sketch.needs else []
        return _imports(", ".join([names, "Kind", *needs, "StrategySpec", "hookimpl"]))

    def _values(self, *, single: bool) -> dict[str, object]:
        major, minor, *_ = dataflex_core.__version__.split(".")
        return {
            "spec": self.spec,
            "single": single,
            "core_imports": self._imports_beside_hook if single else _imports,
            "class": self.strategy_class,
            "distribution": self.distribution,
            "package": self.package,
            "setting": self.sketch.setting,
            "library": self.sketch.library,
            "core": f">={major}.{minor},<{int(major) + 1}",
        }


def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("dataflex_cli"), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )


def _imports(names: str) -> str:
    """``names``, with commas, imported from core as ruff lays imports out: classes first, then functions."""
    sorted_names = sorted(names.split(", "), key=lambda name: (name.islower(), name.lower()))
    line = f"from dataflex_core import {', '.join(sorted_names)}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join(["from dataflex_core import (", *(f"    {name}," for name in sorted_names), ")"])


def sketch_of(kind: Kind, template: Template | None) -> Sketch:
    """The sketch of a kind and a template, the kind's first by default. Raises `UsageError` where there is none."""
    fitting = [sketch for sketch in SKETCHES if sketch.kind is kind]
    found = [sketch for sketch in fitting if template in (None, sketch.folder)]
    if not found:
        known = [sketch.folder for sketch in fitting if sketch.folder in list(Template)]
        hint = f"it has {', '.join(known)}" if known else "leave --template out"
        raise UsageError(f"a {kind} has no template {template}", hint=hint)
    return found[0]
