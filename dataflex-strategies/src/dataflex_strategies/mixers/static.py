"""Given proportions. numpy is imported where it is used: describing the parameters stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import MinLen
from typing_extensions import Doc

from dataflex_core import CheckRequest, Mixer, MixRequest, SetupContext, UsageError
from dataflex_strategies.mixers.given import ByDomain, by_domain, check_by_domain, check_some, names_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticParams:
    """The proportions, or where they are from. One of the two is given."""

    proportions: Annotated[
        Annotated[ByDomain, MinLen(1)] | None,
        Doc("one share per domain, by name or by position; they need not sum to one"),
    ] = None
    from_run: Annotated[
        str | None, Doc("the output_dir of an earlier run, whose mixer's mean proportions are taken")
    ] = None


class StaticMixer(Mixer[StaticParams]):
    """The proportions given, normalised, at every decision: ``p_d = s_d / Σ s``.

    They hold from the first decision on; ``dataflex.warmup_proportions`` are those of the warm-up. ``from_run`` takes
    the means that ``dataflex proportions RUN`` prints, once, as the run begins: a run that is resumed keeps them,
    unless other proportions or another run are given then.

    When to use: where proportions are known, from an earlier run or from a paper, and as the baseline that says
    whether a mixer's changing them does any good.
    """

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` when the proportions do not name every domain exactly once, or are all zero.

        And unless one of the two parameters is given; `DataError` when ``from_run`` has no mixer's proportions.
        """
        check(self.params, names_of(context))
        given, folder = self.params.proportions, self.params.from_run
        if given is None:
            assert folder is not None, "one of the two is given"
            given = dict(context.proportions_of(folder))
            _check_proportions(given, names_of(context))
        self._shares = by_domain(given, context.domains)

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """The same at every decision."""
        return self._shares.copy()

    def state_dict(self) -> dict[str, Any]:
        """The proportions that were taken from a run, which may have gone on since, and from which."""
        run = self.params.from_run
        return {} if run is None else {"shares": self._shares.copy(), "from_run": run}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As they were, if they are of the run that is still named."""
        run = self.params.from_run
        if run is not None and "shares" in state and state.get("from_run", run) == run:
            self._shares = state["shares"].copy()


def check(params: StaticParams, request: CheckRequest) -> None:
    """Raises `UsageError` unless one of the two is given, and for proportions that do not fit the domains."""
    if (params.proportions is None) == (params.from_run is None):
        said = "neither is given" if params.proportions is None else "both are given"
        raise UsageError(f"static takes proportions or from_run: {said}", hint="set mixer.proportions by domain")
    if params.proportions is not None:
        _check_proportions(params.proportions, request)


def _check_proportions(given: ByDomain, request: CheckRequest) -> None:
    check_by_domain(given, request.domains, who="static", what="proportions")
    check_some(given, who="static")
