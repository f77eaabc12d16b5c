"""``dataflex inspect``."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from dataflex_cli.console import counted
from dataflex_cli.options import Once
from dataflex_cli.tables import print_table
from dataflex_core.errors import DataError, InvalidConfig
from dataflex_core.journal import Decision, Run, open_run
from dataflex_core.wording import did_you_mean

if TYPE_CHECKING:
    from dataflex_core.journal.texts import Helps, Text

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpsMost:
    """Sample ``sample`` of the target set ``target``, ``row`` of ``file`` from 1, with its ``text``, as far as known.

    ``cosine`` is that of its gradient and of the update that training on the helping sample makes; ``means`` are the
    mean cosines with each target set.
    """

    target: str
    sample: int
    cosine: float
    means: Mapping[str, float]
    file: str | None = None
    row: int | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A chosen sample: its place by score among the chosen ones, from 1, and how often it is in the interval.

    ``loss`` is the one that the selector was told, and ``helps`` the target sample that it helps most, where the run
    kept that of this sample. ``dataset``, ``file`` and ``number`` are where its first row lies, ``row`` what stands
    there: None where that is not known, or not to be had.
    """

    rank: int
    id: int
    score: float | None
    domain: str
    times: int
    dataset: str | None = None
    file: str | None = None
    number: int | None = None
    row: Mapping[str, Any] | None = None
    loss: float | None = None
    helps: HelpsMost | None = None


@click.command("inspect", cls=Once)
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--step", type=click.IntRange(min=1), help="The decision that step N trained by. Default: the last one.")
@click.option("--top", "count", type=click.IntRange(min=1), default=10, show_default=True, help="How many samples.")
@click.option("--domain", help="Of this domain alone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with whole rows.")
def inspect(folder: Path, step: int | None, count: int, domain: str | None, as_json: bool) -> None:
    """Show which samples a decision of a run chose: the highest scores first, with their rows.

    RUN is the output folder of a run, which may be still going. Where nothing was scored, samples stand in the order of
    training.
    """
    run = open_run(folder).on_its_data
    decision = _decision(run, step)
    if domain is not None and domain not in run.start.domains:
        raise InvalidConfig(f"the run has no domain {domain}", hint=did_you_mean(domain, run.start.domains))
    everyone = [sample for sample in _chosen(run, decision) if domain in (None, sample.domain)]
    samples = list(_with_rows(run, _with_reasons(run, decision, everyone[:count])))
    if as_json:
        shown = {"decision": decision.decision, "step": decision.step, "until": decision.until}
        document = {"schema": SCHEMA, **shown, "samples": [asdict(sample) for sample in samples]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
        return
    of = f"decision {decision.decision}" if decision.decision else "the warm-up"
    among = f" of {domain}" if domain else ""
    on = counted(len(everyone), "sample")
    click.echo(f"{of}, steps {decision.step + 1} to {decision.until}: {on}{among} trained on")
    if run.changed_data_at is not None:
        click.echo(f"since step {run.changed_data_at} the run trains on other data", err=True)
    _print(samples)


def _decision(run: Run, step: int | None) -> Decision:
    """The decision that a step trained by; the last that anything was trained by for None."""
    done = [decision for decision in run.decisions if decision.step < run.step]
    found = [decision for decision in done if step is None or decision.step < step <= decision.until]
    if not found:
        said, hint = "has trained on nothing yet", "ask again once its first step is done"
        before = run.changed_data_at or 0
        if step is not None and step <= before:
            said = f"has trained on other data since step {before}: which samples step {step} had cannot be told"
            hint = f"name one of the steps after {before}, or leave --step out"
        elif run.steps and run.decisions:
            said = f"has no plan of step {step}: it is at step {run.step}"
            hint = f"name one of the steps {before + 1} to {run.step}, or leave --step out"
        elif run.steps:
            said, hint = "plans nothing: it weighs what LLaMA-Factory draws", "name a run with a selector or a mixer"
        raise DataError(f"{folder_of(run)} {said}", hint=hint)
    return found[-1]


def folder_of(run: Run) -> Path:
    """The output folder that a run is in."""
    return run.path.parent.parent


def _chosen(run: Run, decision: Decision) -> list[Sample]:
    """What the interval of a decision has trained on, each sample once, the highest scores first."""
    times = Counter(run.samples_of(decision).tolist())
    scores = _scores(run, decision)
    order = sorted(times, key=lambda sample: -scores.get(sample, -math.inf))
    domain = _domains(run)
    return [
        Sample(rank=rank, id=i, score=scores.get(i), domain=domain(i), times=times[i])
        for rank, i in enumerate(order, 1)
    ]


def _scores(run: Run, decision: Decision) -> dict[int, float]:
    """Scores by sample; of several scores a sample's largest. One that is not finite is none."""
    import numpy as np

    from dataflex_core.journal.figures import largest
    from dataflex_core.journal.kept import scores_of

    found: dict[int, float] = {}
    for one in scores_of(run):
        if (one.decision, one.step) == (decision.decision, decision.step):
            values = largest(one.scores)
            known = np.isfinite(values)
            found = dict(zip(one.ids[known].tolist(), values[known].tolist(), strict=True))
    return found


def _domains(run: Run) -> Any:
    import numpy as np

    names = list(run.start.domains)
    ends = np.cumsum(list(run.start.domains.values()))
    return lambda sample: names[int(np.searchsorted(ends, sample, side="right"))]


def _with_reasons(run: Run, decision: Decision, samples: Sequence[Sample]) -> list[Sample]:
    """These with what the run kept of why they were chosen: of those that a report shows."""
    from dataflex_core.journal.kept import texts_of

    try:
        kept = texts_of(run)
    except OSError:
        return list(samples)
    texts = {(text.target, text.sample): text for text in kept.targets}
    found = dict.fromkeys(sample.id for sample in samples)
    of_it = (one for one in kept.shown if one.decision == decision.decision and one.step in (None, decision.step))
    shown = {one.sample: one for one in of_it if one.sample in found}
    told = []
    for sample in samples:
        one = shown.get(sample.id)
        helps = None if one is None or one.helps is None or not math.isfinite(one.helps.cosine) else one.helps
        text = None if helps is None else texts.get((helps.target, helps.sample))
        told.append(
            replace(
                sample,
                loss=None if one is None or one.loss is None or not math.isfinite(one.loss) else one.loss,
                helps=None if helps is None else _helps_most(helps, text),
            )
        )
    return told


def _helps_most(helps: Helps, text: Text | None) -> HelpsMost:
    answer = "" if text is None else " ".join(piece.text for piece in text.pieces if piece.role == "answer")
    return HelpsMost(
        target=helps.target,
        sample=helps.sample,
        cosine=helps.cosine,
        means={name: mean for name, mean in helps.means.items() if math.isfinite(mean)},
        file=text.file if text is not None and text.file else None,
        row=text.row if text is not None and text.row else None,
        text=answer or None,
    )


def _with_rows(run: Run, samples: Sequence[Sample]) -> Iterator[Sample]:
    """These with the rows that they were made of, as far as they are to be had."""
    from dataflex_cli.picks import places_of, rows_of_run

    try:
        file = rows_of_run(run)
    except DataError:
        yield from samples
        return
    places = places_of(file, [sample.id for sample in samples])
    rows = _rows(Path(file.about.dataset_dir if file.about else "."), places.values())
    for sample in samples:
        dataset, name, number = places.get(sample.id, (None, None, None))
        yield replace(sample, dataset=dataset, file=name, number=number, row=rows.get((name, number)))


def _rows(folder: Path, places: Any) -> dict[tuple[str | None, int | None], Mapping[str, Any]]:
    from dataflex_cli.picks import present
    from dataflex_core.llamafactory.datasets.taken import taken_rows

    wanted: dict[str, set[int]] = {}
    for _, name, number in places:
        if name is not None:
            wanted.setdefault(name, set()).add(number)
    found: dict[tuple[str | None, int | None], Mapping[str, Any]] = {}
    for name, numbers in wanted.items():
        path = present(folder, name)
        try:
            order = sorted(numbers)
            rows = taken_rows(path, order) if path is not None else ()
            found |= {(name, number): row for number, row in zip(order, rows, strict=False)}
        except DataError as wrong:
            click.echo(str(wrong), err=True)
    return found


def _print(samples: Sequence[Sample]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [*_NUMBERS, *(column for column in _WHY if any(column[1](sample) for sample in samples)), *_PLACES]
    for name, _, justify in columns:
        table.add_column(name, justify=justify)
    for sample in samples:
        table.add_row(*(cell(sample) for _, cell, _ in columns))
    print_table(table, width=140)


def _helped(sample: Sample) -> str:
    helps = sample.helps
    if helps is None:
        return ""
    place = f"{helps.target} {helps.sample}" if helps.file is None else f"{Path(helps.file).name}:{helps.row}"
    return f"{helps.cosine:.2f} {place} {'' if helps.text is None else short(helps.text, 60)}".rstrip()


Column = tuple[str, Callable[[Sample], str], Literal["left", "right"]]

_NUMBERS: tuple[Column, ...] = (
    ("rank", lambda sample: str(sample.rank), "right"),
    ("score", lambda sample: "" if sample.score is None else f"{sample.score:.4g}", "right"),
    ("times", lambda sample: str(sample.times), "right"),
)
_WHY: tuple[Column, ...] = (
    ("loss", lambda sample: "" if sample.loss is None else f"{sample.loss:.4g}", "right"),
    ("helps most", _helped, "left"),
)
_PLACES: tuple[Column, ...] = (
    ("domain", lambda sample: sample.domain, "left"),
    ("row", lambda sample: "" if sample.file is None else f"{Path(sample.file).name}:{sample.number}", "left"),
    ("text", lambda sample: "" if sample.row is None else short(sample.row), "left"),
)


def short(row: Any, most: int = 160) -> str:
    """The texts in a row, in one line that can be printed anywhere."""
    text = " / ".join(" ".join(part.split()) for part in _texts(row) if part.strip())
    text = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
