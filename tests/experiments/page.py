"""The tables and pictures of docs/experiments.md, from the results that are kept. What they say is written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.arms import ARMS
from experiments.corpora import CORPORA, Corpus
from experiments.figures import ahead, grouped, loss_after, loss_within, over_seeds, seconds_per_step
from experiments.one_run import SHARES as EVALUATED
from experiments.pictures import draw
from experiments.results import Result

PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
PICTURES = PAGE.parent / "images"
SHARES = (0.25, 0.5, 1.0)
"""Of a corpus's budget: what the tables show."""
CONTROL = "random"
Runs = Mapping[str, Mapping[int, Result]]


def write_page(results: Sequence[Result]) -> None:
    """Replace what is between a corpus's two comments in the page, and draw its picture."""
    text = PAGE.read_text(encoding="utf-8")
    for corpus in CORPORA.values():
        runs = _in_order(grouped(results, corpus.name))
        if runs:
            draw(runs, corpus.within(*EVALUATED), PICTURES / f"pays-{corpus.name}.svg", title=corpus.what)
        text = replaced(text, corpus.name, "\n".join(section(corpus, runs)))
    PAGE.write_text(text, encoding="utf-8")


def replaced(text: str, name: str, inside: str) -> str:
    """``text`` with ``inside`` between the two comments of that name; raises `ValueError` where these are not."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return f"{before}{begin}\n\n{inside}\n\n{end}{after}"


def section(corpus: Corpus, runs: Runs) -> Iterator[str]:
    """Lines of Markdown: the picture, and a row an arm."""
    if not runs:
        yield "This has not been run."
        return
    budgets = corpus.within(*SHARES)
    yield f"![held-out loss against compute: {corpus.what}](images/pays-{corpus.name}.svg)"
    yield ""
    yield "Held-out loss, mean and standard deviation over the seeds, after so many training steps' worth:"
    yield ""
    yield f"| arm | seeds | {' | '.join(_words(budgets))} | lower than `random` | target's share of the chosen |"
    yield "|---|---|" + "---|" * len(budgets) + "---|---|"
    control = runs.get(CONTROL, {})
    for name, seeds in runs.items():
        losses = (over_seeds([loss_within(result, budget) for result in seeds.values()]) for budget in budgets)
        lower = " · ".join("{} of {}".format(*ahead(seeds, control, budget)) for budget in budgets)
        share = np.mean([result.share for result in seeds.values()])
        label = f"`{name}`: {ARMS[name].what}" if name in ARMS else f"`{name}`"
        won = "" if name == CONTROL else lower
        yield f"| {label} | {len(seeds)} | {' | '.join(map(str, losses))} | {won} | {share:.0%} |"
    yield ""
    yield from _seconds(runs, budgets)


def _seconds(runs: Runs, budgets: Sequence[float]) -> Iterator[str]:
    """The same budgets in processor seconds, and what decisions cost in both ways of counting."""
    yield "Counted in seconds of the processor, in those of a training step of the same run:"
    yield ""
    yield "| arm | decisions, in steps, by count | by seconds | " + " | ".join(_words(budgets)) + " |"
    yield "|---|---|---|" + "---|" * len(budgets)
    for name, seeds in runs.items():
        last = [result.points[-1] for result in seeds.values()]
        counted = np.mean([point.passes - point.steps for point in last])
        measured = np.mean([result.points[-1].deciding / seconds_per_step(result) for result in seeds.values()])
        losses = [over_seeds([loss_after(result, budget) for result in seeds.values()]) for budget in budgets]
        yield f"| `{name}` | {counted:.0f} | {measured:.0f} | {' | '.join(f'{loss.mean:.3f}' for loss in losses)} |"


def _words(budgets: Iterable[float]) -> list[str]:
    return [f"{budget:.0f}" for budget in budgets]


def _in_order(runs: Runs) -> Runs:
    """As the arms are listed; others are left out."""
    return {name: dict(sorted(runs[name].items())) for name in ARMS if name in runs}
