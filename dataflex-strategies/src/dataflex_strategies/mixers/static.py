"""Given proportions. numpy is imported where it is used: describing the parameters stays light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Lt, MinLen
from typing_extensions import Doc

from dataflex_core import Mixer, MixRequest, SetupContext, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Share = Annotated[float, Ge(0), Lt(float("inf"))]


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticParams:
    """The proportions."""

    proportions: Annotated[
        dict[str, _Share] | list[_Share],
        MinLen(1),
        Doc("one share per domain, by name or by position; they need not sum to one"),
    ]


class StaticMixer(Mixer[StaticParams]):
    """The proportions given, normalised, at every decision: ``p_d = s_d / Σ s``.

    They hold from the first decision on; ``dataflex.warmup_proportions`` are those of the warm-up.

    When to use: where proportions are known, from an earlier run or from a paper, and as the baseline that says
    whether a mixer's changing them does any good.
    """

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` when the proportions do not name every domain exactly once, or are all zero."""
        given, names = self.params.proportions, [domain.name for domain in context.domains]
        if isinstance(given, list) and len(given) != len(names):
            raise UsageError(
                f"static: {len(given)} proportions for {len(names)} domains", hint=f"the domains are {', '.join(names)}"
            )
        if isinstance(given, dict) and set(given) != set(names):
            odd = ", ".join(sorted(set(given) ^ set(names)))
            raise UsageError(
                f"static: proportions and domains differ in {odd}", hint=f"the domains are {', '.join(names)}"
            )
        shares = list(given.values()) if isinstance(given, dict) else given
        if sum(shares) <= 0:
            raise UsageError("static: all proportions are zero", hint="give at least one domain a share")

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """The same at every decision."""
        import numpy as np

        given = self.params.proportions
        shares = given if isinstance(given, list) else [given[domain.name] for domain in request.domains]
        return np.asarray(shares, dtype=np.float64)
