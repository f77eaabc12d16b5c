"""What runs have to have in common to be compared: one judgement, for reports and for comparisons."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dataflex_cli.report.reading import Seen


def apart(here: str, one: Seen, there: str, other: Seen) -> Iterator[str]:
    """Why losses of ``other``, called ``there``, say nothing beside those of ``one``, called ``here``."""
    if targets_differ(one, other):
        yield f"{there} has other target sets than {here}: their losses may be of other samples"
    if one.start.model != other.start.model:
        yield f"{there} trains {other.start.model or 'another model'}, {here} {one.start.model or 'another one'}"


def targets_differ(one: Seen, other: Seen) -> bool:
    """Whether runs have other target sets, as far as is kept: names, sizes, and the texts that both kept."""
    if dict(one.start.targets) != dict(other.start.targets):
        return True
    return any(one.targets[key] != other.targets[key] for key in one.targets.keys() & other.targets.keys())


def pool_differs(here: str, one: Seen, there: str, other: Seen) -> str | None:
    """How the pool of ``other`` differs from that of ``one``, as far as is kept: domains, sizes, lengths of samples."""
    sizes, others = dict(one.start.domains), dict(other.start.domains)
    if list(sizes.items()) != list(others.items()):
        return f"{there} has another pool than {here}: {_sizes(others)} in place of {_sizes(sizes)} samples"
    if one.pool is not None and other.pool is not None and not np.array_equal(one.pool.lengths, other.pool.lengths):
        return f"{there} has another pool than {here}: of the same sizes, with samples of other lengths"
    return None


def are_one(one: Seen, other: Seen) -> bool:
    """Whether runs are one, by their ids: a copied folder, or one that went on elsewhere."""
    return bool(one.start.run) and one.start.run == other.start.run


def _sizes(domains: dict[str, int]) -> str:
    told = ", ".join(f"{name} {size:,}" for name, size in list(domains.items())[:4])
    return told + (" and others" if len(domains) > 4 else "")
