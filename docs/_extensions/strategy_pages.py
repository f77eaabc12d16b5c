"""A page for every strategy of ``dataflex-strategies``, written from its spec, docstring and parameters.

The pages go to ``docs/strategies``, which git ignores, each time that Sphinx starts.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dataflex_core import Kind, Need, NoParams
from dataflex_core.catalog import Record, discover
from dataflex_core.config.params import Parameter, describe
from dataflex_core.prepared import choose
from dataflex_core.references import reference_parameters
from dataflex_core.spec import FORWARD, cost_of_needs, with_implied

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DISTRIBUTION = "dataflex-strategies"
FOLDER = "strategies"
WHEN = "When to use: "
"""How the paragraph of a strategy's docstring begins that becomes a section of its own."""

_FRACTIONS = {0.0: "nothing", 1 / 3: "a third of a training step", 1.0: "one training step"}


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: write_pages(Path(app.srcdir) / FOLDER))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_pages(folder: Path) -> None:
    """One file a strategy; files that have not changed are left alone, those of strategies that are gone removed."""
    pages = {
        f"{r.spec.kind}-{r.spec.name}.rst": page(r) for r in discover().of_kind() if r.distribution == DISTRIBUTION
    }
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.rst"):
        if path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def page(record: Record) -> str:
    """The page of one strategy, in reStructuredText, which its docstring is written in."""
    loader = FileSystemLoader(Path(__file__).parent)
    template = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    ).get_template("strategy.rst.jinja")
    what, when = split(inspect.getdoc(record.load()) or record.spec.summary)
    parameters = describe(record.load_params())
    return template.render(
        spec=record.spec,
        title=f"{record.spec.kind.capitalize()} {record.spec.name}",
        what=what,
        when=when,
        cost=cost(record),
        needs=", ".join(sorted(need.value for need in with_implied(record.spec.kind, record.load_needs()))),
        paper=paper(record.spec.reference),
        parameters=[_row(parameter) for parameter in parameters],
        required=[parameter.name for parameter in parameters if parameter.required],
    )


def split(docstring: str) -> tuple[str, str]:
    """What a strategy computes, and when to use it."""
    paragraphs = docstring.split("\n\n")
    when = [text.removeprefix(WHEN) for text in paragraphs if text.startswith(WHEN)]
    return "\n\n".join(text for text in paragraphs if not text.startswith(WHEN)), "\n\n".join(when)


def cost(record: Record) -> str:
    """What decisions cost, in training steps, and what weighing does; with the default parameters."""
    spec = record.spec
    if spec.kind is Kind.WEIGHTER and spec.compares:
        return (
            "With ``gradient_accumulation_steps`` above 1 a forward pass of each step's samples, a third of a training "
            "step; nothing beyond training itself with 1."
        )
    once, later, of_target = _declared(record)
    if once == 0:
        return "Nothing beyond training itself: it asks the model for nothing more."
    said = [f"Each sample that it judges costs {_fraction(once)} of one sample."]
    kind = record.load_params()
    if kind is not None and reference_parameters(kind):
        said.append("Those of the reference model count once a sample: its answers are stored.")
    if later != once:
        said = [said[0].removesuffix(".") + f" at the first decision, and {_fraction(later)} at later ones."]
    elif spec.kind is Kind.SELECTOR:
        said.append(
            f"With ``candidates: 4`` a decision costs {4 * once:.2g} times the training of the interval "
            "that follows it; ``selection_budget`` bounds that ratio instead."
        )
    if Need.TARGET_SET in record.load_needs():
        said.append("The samples of the target set are judged at each decision too")
        said[-1] += "." if of_target == once else f", each for {_fraction(of_target)}."
    return " ".join(said)


def _declared(record: Record) -> tuple[float, float, float]:
    """What a candidate costs at the first decision and at later ones, and a sample of the target set.

    By the needs alone where parameters are required.
    """
    kind = record.load_params()
    if any(parameter.required for parameter in describe(kind)):
        models = () if kind is None else reference_parameters(kind)
        once = cost_of_needs(record.load_needs()) + len(models) * FORWARD
        return once, once, once
    chosen = choose(record, NoParams() if kind is None else kind())
    return chosen.cost(1), chosen.cost(2), chosen.target_cost(1)


def _fraction(cost: float) -> str:
    return _FRACTIONS.get(cost, f"{cost:.2g} training steps")


def paper(reference: str) -> str:
    """A link where the reference is an arXiv number, else the reference as it is."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"`arXiv:\1 <https://arxiv.org/abs/\1>`__", reference)


def _row(parameter: Parameter) -> tuple[str, str, str, str]:
    limits = "".join(f", {constraint}" for constraint in parameter.constraints)
    default = "required" if parameter.required else f"``{parameter.default!r}``"
    return f"``{parameter.name}``", f"``{parameter.type}``{_plain(limits)}", default, _plain(parameter.help)


def _plain(text: str) -> str:
    """Text that is no markup."""
    return re.sub(r"([\\`*_|])", r"\\\1", text)
