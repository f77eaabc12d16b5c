"""What is worth a look: a pure function each, with what to do about it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from itertools import combinations

from dataflex_cli.report.model import Alert, ReportData, Sample

Check = Callable[[ReportData], Iterator[Alert]]

_DULL = 1e-9
_ALIKE = 0.8
_LONGER = 1.5
_ONCE_IN = 8
_SHINGLE = 5


def alerts_of(data: ReportData) -> tuple[Alert, ...]:
    """All alerts, problems first."""
    found = [alert for check in CHECKS for alert in check(data)]
    return tuple(sorted(found, key=lambda alert: alert.level != "problem"))


def failed(data: ReportData) -> Iterator[Alert]:
    """The run failed, or was stopped."""
    if data.run.state == "failed":
        yield Alert(
            id="failed",
            level="problem",
            title=f"The run ended after step {data.run.step} of {data.run.steps}",
            detail=data.run.error or "",
            todo=data.run.hint or "dataflex run … --resume goes on from the last checkpoint",
        )


def never_chosen(data: ReportData) -> Iterator[Alert]:
    """A domain of which no decision chose anything."""
    never = [one.name for one in data.enrichment if one.chosen == 0 and one.pool > 0]
    if never and any(one.decision > 0 for one in data.decisions):
        yield Alert(
            id="never-chosen",
            level="hint",
            title=f"Never chosen: {_listed(never)}",
            detail="No decision took a sample of it. What the model knows of it may fade.",
            todo="Put a mixer beside the selector to give every domain a share, or leave the domain out of the pool.",
        )


def same_again(data: ReportData) -> Iterator[Alert]:
    """Most of what a decision chose was chosen by the one before."""
    matrix = data.overlap[1]
    if len(matrix) < 2:
        return
    mean = sum(matrix[i][i - 1] for i in range(1, len(matrix))) / (len(matrix) - 1)
    if mean > 0.5:
        yield Alert(
            id="same-samples",
            level="problem" if mean > _ALIKE else "hint",
            title=f"The same samples again and again: {mean:.0%} overlap from decision to decision",
            detail="The run trains on a small part of the pool many times over, and may learn it by heart.",
            todo="Lower dataflex.candidates, so that each decision judges fresh samples, or choose more randomly.",
        )


def by_chance(data: ReportData) -> Iterator[Alert]:
    """What was chosen scores no better than what was judged."""
    ordinary = {band.name: band.ratio for band in data.bands}
    if ordinary and max(ordinary.values()) < 1.1 and "selector random" not in " ".join(data.run.strategies):
        yield Alert(
            id="no-better-than-chance",
            level="problem",
            title="Chosen no better than chance",
            detail="Every fifth of the scores has the same share of what was chosen: the scores decide nothing.",
            todo="Judge more candidates than are chosen (dataflex.candidates), or use selector random at no cost.",
        )


def dull_scores(data: ReportData) -> Iterator[Alert]:
    """Scores that are all the same, or no numbers."""
    same = [
        one.decision for one in data.scores if one.count > 1 and (one.spread or 0.0) <= _DULL * abs(one.mean or 1.0)
    ]
    if same:
        yield Alert(
            id="constant-scores",
            level="problem",
            title=f"All scores are the same at {_decisions(same)}",
            detail="Among equal scores the choice is by sample number.",
            todo="Check the target set and the learning rate: before anything was learnt gradients say little.",
        )
    lost, count = sum(one.lost for one in data.scores), sum(one.lost + one.count for one in data.scores)
    if lost:
        yield Alert(
            id="nan-scores",
            level="problem" if lost > count / 100 else "hint",
            title=f"{lost:,} of {count:,} scores are NaN",
            detail="These samples cannot be chosen. Mostly they have no target token left after cutting.",
            todo="Raise cutoff_len, or look at the rows: those without an answer teach nothing.",
        )


def shortages(data: ReportData) -> Iterator[Alert]:
    """Domains, or the pool, that had fewer samples than wanted."""
    told = list(dict.fromkeys(text for one in data.decisions for text in one.shortages))
    if told:
        more = f", and {len(told) - 1} more" if len(told) > 1 else ""
        yield Alert(
            id="shortages",
            level="hint",
            title="Too few samples for what was wanted",
            detail=f"{told[0]}{more}.",
            todo="dataflex.exhaustion says what happens then: next-epoch repeats, renormalise gives to others.",
        )


def rows_dropped(data: ReportData) -> Iterator[Alert]:
    """Rows that became no sample, or were cut."""
    for key, words in (("dropped", "became no sample"), ("cut", "were cut at cutoff_len")):
        for domain, fact in data.provenance.get(key, {}).items():
            size = data.run.domains.get(domain, 0)
            share = fact["count"] / max(size + fact["count"] * (key == "dropped"), 1)
            if share < 0.01 and fact["count"] < 10:
                continue
            yield Alert(
                id=f"rows-{key}-{domain}",
                level="problem" if share > 0.2 else "hint",
                title=f"{fact['count']:,} rows of {domain} {words} ({share:.0%})",
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


def near_duplicates(data: ReportData) -> Iterator[Alert]:
    """Among the chosen samples that are shown, ones with nearly the same text."""
    rows = list({row.sample: row for row in data.samples if row.chosen and row.pieces}.values())
    pairs = alike(rows)
    if pairs:
        many = len({sample for pair in pairs for sample in pair})
        share = many / len(rows)
        yield Alert(
            id="near-duplicates",
            level="problem" if share > 0.2 else "hint",
            title=f"Near-duplicates: {many} of the {len(rows)} chosen samples shown have a twin",
            detail=f"Samples {pairs[0][0]} and {pairs[0][1]}, say: at least {_ALIKE:.0%} of their text is the same.",
            todo="Remove duplicates from the data; a choice by score likes one as much as the other.",
        )


def leak(data: ReportData) -> Iterator[Alert]:
    """Samples of a target set that stand in the pool, too."""
    if data.in_target:
        yield Alert(
            id="leak",
            level="problem",
            title=f"{data.in_target} samples of the pool are in the target set, too",
            detail="The run may train on what it is measured by: its evaluation says less than it seems to.",
            todo="Take them out of the pool, and train again.",
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


def fallbacks(data: ReportData) -> Iterator[Alert]:
    """Something could not be done as it is best done."""
    for told in data.provenance.get("fallbacks", ()):
        yield Alert(
            id=f"fallback-{told['kind']}",
            level="hint",
            title="Something was done in a slower or rougher way",
            detail=told["text"],
            todo="Nothing has to be done; it says what would make it fast.",
        )


def few_count(data: ReportData) -> Iterator[Alert]:
    """Weights under which a few samples carry the loss."""
    values = [v for curve in data.weights if curve.name == "effective share" for v in curve.values if v is not None]
    if values and min(values) < 0.1:
        yield Alert(
            id="effective-share",
            level="problem",
            title=f"A few samples carry the loss: effective share down to {min(values):.0%}",
            detail="The other samples of a step cost as much, and teach next to nothing.",
            todo="Make the weighter milder: a higher temperature, or a bound on weights.",
        )


CHECKS: tuple[Check, ...] = (
    failed, leak, dull_scores, by_chance, same_again, never_chosen, shortages, rows_dropped, chosen_truncated,
    near_duplicates, lengths_differ, few_count, fallbacks,
)  # fmt: skip


def alike(rows: list[Sample]) -> list[tuple[int, int]]:
    """Pairs of samples that share at least four fifths of their shingles, five words each."""
    shingles = {row.sample: _shingles(" ".join(text for _, text in row.pieces)) for row in rows}
    holders: dict[int, list[int]] = {}
    for sample, found in shingles.items():
        # Two sets this much alike share most of their smallest hashes: only those are looked up.
        for piece in sorted(found)[:_ONCE_IN]:
            holders.setdefault(piece, []).append(sample)
    pairs = {pair for held in holders.values() if 1 < len(held) <= 50 for pair in combinations(sorted(held), 2)}
    return sorted(
        (one, other)
        for one, other in pairs
        if len(shingles[one] & shingles[other]) >= _ALIKE * len(shingles[one] | shingles[other])
    )


def _shingles(text: str) -> set[int]:
    words = re.findall(r"\w+", text.lower())
    return {zlib.crc32(" ".join(words[i : i + _SHINGLE]).encode()) for i in range(max(1, len(words) - _SHINGLE + 1))}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _decisions(numbers: list[int]) -> str:
    return f"decision{'s' * (len(numbers) > 1)} {_listed([str(n) for n in numbers])}"
