"""A page for every strategy of ``dataflex-strategies``, written from its spec, docstring and parameters.

The pages go to ``docs/strategies``, which git ignores, each time that Sphinx starts.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dataflex_core import Kind, Need, StrategySpec
from dataflex_core.catalog import Record, discover
from dataflex_core.config.params import Parameter, describe
from dataflex_core.spec import with_implied

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DISTRIBUTION = "dataflex-strategies"
FOLDER = "strategies"
WHEN = "When to use: "
"""How the paragraph of a strategy's docstring begins that becomes a section of its own."""

_FRACTIONS = {1 / 3: "a third of a training step", 1.0: "one training step"}


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
        cost=cost(record.spec),
        needs=", ".join(sorted(need.value for need in with_implied(record.spec.kind, record.spec.needs))),
        paper=paper(record.spec.reference),
        parameters=[_row(parameter) for parameter in parameters],
        required=[parameter.name for parameter in parameters if parameter.required],
    )


def split(docstring: str) -> tuple[str, str]:
    """What a strategy computes, and when to use it."""
    paragraphs = docstring.split("\n\n")
    when = [text.removeprefix(WHEN) for text in paragraphs if text.startswith(WHEN)]
    return "\n\n".join(text for text in paragraphs if not text.startswith(WHEN)), "\n\n".join(when)


def cost(spec: StrategySpec) -> str:
    """What decisions cost, in training steps, and what weighing does."""
    if spec.kind is Kind.WEIGHTER and spec.compares:
        return (
            "With ``gradient_accumulation_steps`` above 1 a forward pass of each step's samples, a third of a training "
            "step; nothing beyond training itself with 1."
        )
    if spec.cost == 0:
        return "Nothing beyond training itself: it asks the model for nothing more."
    each = _FRACTIONS.get(spec.cost, f"{spec.cost:.2g} training steps")
    said = [f"Each sample that it judges costs {each} of one sample."]
    if spec.kind is Kind.SELECTOR:
        said.append(
            f"With ``candidates: 4`` a decision costs {4 * spec.cost:.2g} times the training of the interval "
            "that follows it; ``selection_budget`` sets that ratio instead."
        )
    if Need.TARGET_SET in spec.needs:
        said.append("The samples of the target set are judged at each decision too.")
    return " ".join(said)


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
