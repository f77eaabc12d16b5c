"""A new plugin: what it is called, what it holds at first, and its files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import jinja2

import dataflex_core
from dataflex_core import Kind, Need, StrategyFault, StrategySpec, UsageError

_NUMPY, _TORCH = "numpy>=1.26", "torch>=2.4"


class Template(StrEnum):
    """The two ways to write a selector: score samples one by one, or choose among all of them."""

    SCORING = "scoring"
    PLAIN = "plain"


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
        kind=Kind.MIXER,
        folder="mixer",
        summary="in proportion to a power of each domain's training loss",
        setting="power=2",
        library=_NUMPY,
        needs=frozenset({Need.TRAINING_LOSSES}),
    ),
    Sketch(
        kind=Kind.WEIGHTER,
        folder="weighter",
        summary="exponentially by the loss: a high one counts for more, or for less",
        setting="tilt=-1",
        library=_TORCH,
        needs=frozenset({Need.TRAINING_LOSSES}),
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
        templates = jinja2.Environment(
            loader=jinja2.PackageLoader("dataflex_cli"),
            undefined=jinja2.StrictUndefined,
            keep_trailing_newline=True,
        )
        values = self._values()
        for name in templates.list_templates():
            part, _, inside = name.partition("/")
            if part in ("any", self.sketch.folder):
                path = folder / inside.replace("PACKAGE", self.package).removesuffix(".jinja")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(templates.get_template(name).render(values), encoding="utf-8")

    def _values(self) -> dict[str, object]:
        major, minor, *_ = dataflex_core.__version__.split(".")
        return {
            "spec": self.spec,
            "class": self.strategy_class,
            "distribution": self.distribution,
            "package": self.package,
            "setting": self.sketch.setting,
            "library": self.sketch.library,
            "core": f">={major}.{minor},<{int(major) + 1}",
        }


def sketch_of(kind: Kind, template: Template | None) -> Sketch:
    """The sketch of a kind; a selector has two, scoring by default. Raises `UsageError` where there is none."""
    if template is not None and kind is not Kind.SELECTOR:
        raise UsageError(f"a {kind} has no template {template}", hint="templates are for --kind selector")
    folder = (template or Template.SCORING) if kind is Kind.SELECTOR else kind
    (sketch,) = (sketch for sketch in SKETCHES if sketch.kind is kind and sketch.folder == folder)
    return sketch
