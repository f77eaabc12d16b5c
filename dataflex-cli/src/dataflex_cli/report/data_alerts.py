"""What is worth a look in the data of a run: rows lost, samples cut, doubled, or of the target set."""

from __future__ import annotations

from collections.abc import Iterator

from dataflex_cli.report.alike import ALIKE
from dataflex_cli.report.model import Alert, ReportData
from dataflex_cli.report.words import counted

_LONGER = 1.5


def leak(data: ReportData) -> Iterator[Alert]:
    """Samples of a target set that stand in the pool, too, as they are or nearly."""
    found = data.leaks
    measured = "The run may train on what it is measured by: its evaluation says less than it seems to."
    todo = "Take them out of the pool, and train again."
    if found.pool:
        yield Alert(
            id="leak",
            level="problem",
            title=f"{counted(found.pool, 'sample')} of the pool {_are(found.pool)} in the target set, too",
            detail=f"{found.trained:,} of them {_were(found.trained)} trained on. "
            f"{'Sample' if len(found.some) == 1 else 'Samples'} {_listed(found.some)}, say. {measured}",
            todo=todo,
        )
    near = {pair.sample for pair in found.near if not pair.same}
    if near:
        pair = next(pair for pair in found.near if not pair.same)
        yield Alert(
            id="near-leak",
            level="problem",
            title=f"{len(near):,} of the samples shown {_are(len(near))} nearly one of the target set",
            detail=f"Sample {pair.sample} and number {pair.other} of the target set, say: at least {ALIKE:.0%} of "
            f"their text is the same. {measured}",
            todo=todo,
        )


def _listed(samples: tuple[int, ...]) -> str:
    return ", ".join(map(str, samples))


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def near_duplicates(data: ReportData) -> Iterator[Alert]:
    """Among the chosen samples that are shown, ones with the same text, or nearly."""
    shown = len({row.sample for row in data.samples if row.chosen and row.pieces})
    if not data.twins:
        return
    many = len({sample for pair in data.twins for sample in (pair.sample, pair.other)})
    same = sum(pair.same for pair in data.twins)
    pair = data.twins[0]
    how = "the same but for case and spaces" if pair.same else f"at least {ALIKE:.0%} of their text is the same"
    yield Alert(
        id="near-duplicates",
        level="problem" if many / shown > 0.2 else "hint",
        title=f"Near-duplicates: {many} of the {shown} chosen samples shown have a twin",
        detail=f"Samples {pair.sample} and {pair.other}, say: {how}. {same} of {counted(len(data.twins), 'pair')} "
        f"{_are(same)} the same.",
        todo="Remove duplicates from the data; a choice by score likes one as much as the other.",
    )


def rows_dropped(data: ReportData) -> Iterator[Alert]:
    """Rows that became no sample, or were cut."""
    for key, words in (("dropped", "became no sample"), ("cut", "{were} cut at cutoff_len")):
        for domain, fact in data.provenance.get(key, {}).items():
            size = data.run.rows.get(domain, data.run.domains.get(domain, 0))
            rows, how = counted(fact["count"], "row"), words.format(were=_were(fact["count"]))
            share = fact["count"] / max(size + fact["count"] * (key == "dropped"), 1)
            if share < 0.01 and fact["count"] < 10:
                continue
            yield Alert(
                id=f"rows-{key}-{domain}",
                level="problem" if share > 0.2 else "hint",
                title=f"{rows} of {domain} {how} ({share:.0%})",
                detail=f"The first is row {fact['row']} of {fact['file']}: {fact['reason']}.",
                todo="Mend the rows, or leave them out." if key == "dropped" else "Raise cutoff_len, or shorten them.",
            )


def chosen_truncated(data: ReportData) -> Iterator[Alert]:
    """Much of what was chosen is as long as fits."""
    lengths = data.lengths
    if lengths is not None and lengths.chosen_cut > 0.1:
        yield Alert(
            id="chosen-truncated",
            level="problem" if lengths.chosen_cut > 0.3 else "hint",
            title=f"{lengths.chosen_cut:.0%} of what was chosen fills cutoff_len ({lengths.cutoff_len} tokens)",
            detail=f"Of the pool it is {lengths.pool_cut:.0%}. Such samples may lack the end of their answer.",
            todo="Raise cutoff_len, or split long rows.",
        )


def lengths_differ(data: ReportData) -> Iterator[Alert]:
    """What was chosen is much longer, or shorter, than the pool."""
    lengths = data.lengths
    if lengths is None or not lengths.pool_mean:
        return
    ratio = lengths.chosen_mean / lengths.pool_mean
    if not 1 / _LONGER < ratio < _LONGER:
        how = "longer" if ratio > 1 else "shorter"
        yield Alert(
            id="lengths",
            level="hint",
            title=f"Chosen samples are {how}: {lengths.chosen_mean:.0f} tokens, {lengths.pool_mean:.0f} in the pool",
            detail="A score that follows length chooses by length, whatever the samples say.",
            todo="Look at score against length below; normalise the score by length if it only follows it.",
        )
