"""Proportions that the configuration gives, by name or by position, held to the run's domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Lt

from dataflex_core import CheckRequest, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core import Domain, SetupContext

Share = Annotated[float, Ge(0), Lt(float("inf"))]
"""A part of a whole, in any unit."""
ByDomain = dict[str, Share] | list[Share]
"""A number for each domain, by name or in the order of domains."""


def names_of(context: SetupContext) -> CheckRequest:
    """What is known of the domains as soon as the data is loaded, for a check that was made before without it."""
    return CheckRequest(domains=tuple(domain.name for domain in context.domains))


def check_by_domain(given: ByDomain, names: Sequence[str] | None, *, who: str, what: str) -> None:
    """Raise `UsageError` when ``given`` does not name every domain exactly once, if their ``names`` are known."""
    if names is None:
        return
    hint = f"the domains are {', '.join(names)}"
    if isinstance(given, list) and len(given) != len(names):
        raise UsageError(f"{who}: {len(given)} {what} for {len(names)} domains", hint=hint)
    if isinstance(given, Mapping) and set(given) != set(names):
        odd = ", ".join(sorted(set(given) ^ set(names)))
        raise UsageError(f"{who}: {what} and domains differ in {odd}", hint=hint)


def check_some(given: ByDomain, *, who: str) -> None:
    """Raise `UsageError` when all of the proportions ``given`` are zero."""
    if not any(given.values() if isinstance(given, Mapping) else given):
        raise UsageError(f"{who}: all proportions are zero", hint="give at least one domain a share")


def by_domain(given: ByDomain, domains: Sequence[Domain]) -> NDArray[np.float64]:
    """Float64[K] in the order of domains."""
    import numpy as np

    values = given if isinstance(given, list) else [given[domain.name] for domain in domains]
    return np.asarray(values, dtype=np.float64)
