"""In what proportions a run has trained, as its journal tells: what a later run may take over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex_core.config.section import SECTION
from dataflex_core.errors import DataError, InvalidConfig
from dataflex_core.journal.events import Decision
from dataflex_core.journal.facts import StrategyFact
from dataflex_core.journal.run import Run, open_run
from dataflex_core.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixed:
    """The proportions of a run with a mixer, over the ``steps`` steps that it decided about: no warm-up.

    Where it went on with other data, or another mixer, of the steps since then alone.

    ``mean`` is the mean over those steps, ``last`` what the last of them trained by, both by domain and of sum one.
    Where a mixer weighs the loss, a domain's part is its proportion times its weight; steps in which all parts are zero
    do not count. ``reference_lead`` is the mean of the figure of that name, where the mixer gives it: by how much a
    reference model was better than the model in training. ``unit`` is what they are shares of: ``samples``, or target
    ``tokens``.
    """

    mixer: str
    steps: int
    mean: Mapping[str, float]
    last: Mapping[str, float]
    reference_lead: float | None = None
    unit: str = "samples"

    @property
    def doubt(self) -> str | None:
        """Why they say little: a reference model that was no better than the model in training; None without one."""
        lead = self.reference_lead
        if lead is None or lead > 0:
            return None
        return f"the reference model was no better than this run's ({lead:+.4g} by token): these proportions say little"


def mixed(run: Run) -> Mixed:
    """The proportions that a run has trained by so far.

    Raises `DataError` where no mixer has decided anything, or nothing that counted.
    """
    mixer, since = _mixer_of(run)
    run = run.on_its_data
    if mixer is None:
        raise DataError(f"{run.path} is of a run without a mixer", hint="name the output_dir of a run with a mixer")
    decisions = [made for made in run.decisions if made.decision > 0 and made.step >= since]
    decided = [(made, min(made.until, run.step) - made.step) for made in decisions]
    trained = [(made, steps) for made, steps in decided if steps > 0 and made.proportions is not None]
    if not trained:
        raise DataError(
            f"the mixer of {run.path} has decided about no step yet", hint="wait until the run is past its warm-up"
        )
    parts = [(part, steps) for made, steps in trained if (part := _parts(made))]
    if not parts:
        said = f"by the mixer of {run.path} the loss of all that was drawn weighed nothing"
        raise DataError(said, hint="name a run whose mixer gives a domain both a share and a loss weight")
    leads = [(made.notes.get(str(Kind.MIXER), {}).get("reference_lead"), steps) for made, steps in trained]
    return Mixed(
        mixer=mixer.name,
        steps=sum(steps for _, steps in parts),
        mean={name: _mean([(part[name], steps) for part, steps in parts]) for name in parts[0][0]},
        last=parts[-1][0],
        reference_lead=_mean(known) if (known := [(lead, n) for lead, n in leads if lead is not None]) else None,
        unit="samples" if run.start.mean_tokens is None else "tokens",
    )


def _mixer_of(run: Run) -> tuple[StrategyFact | None, int]:
    """The mixer that a run has now, and the step after which it took over."""
    found, since = _mixer_in(run.start.strategies), 0
    for event in run.resumes:
        if event.strategies is not None and (now := _mixer_in(event.strategies)) != found:
            found, since = now, event.step
    return found, since


def _mixer_in(strategies: Sequence[StrategyFact]) -> StrategyFact | None:
    return next((fact for fact in strategies if fact.kind == Kind.MIXER), None)


def mean_proportions(
    folder: str, *, unit: str = "samples", doubts: Callable[[str], None] = lambda text: None
) -> Mapping[str, float]:
    """`Mixed.mean` of the run in an output folder, for a run whose proportions are shares of a ``unit``.

    ``doubts`` is told where they say little. Raises as `open_run` and `mixed` do, and `InvalidConfig` where the other
    run's are of another unit.
    """
    found = mixed(open_run(Path(folder).expanduser()))
    if found.unit != unit:
        said = f"the proportions of {folder} are shares of {found.unit}, those of this run of {unit}"
        raise InvalidConfig(said, hint=f"set dataflex.unit: {found.unit}", key=[SECTION, "unit"])
    if found.doubt is not None:
        doubts(f"{folder}: {found.doubt}")
    return found.mean


def _parts(made: Decision) -> dict[str, float]:
    """What each domain counted, of sum one; nothing of any where the loss of all that was drawn weighed nothing."""
    shares, weights = made.proportions or {}, made.loss_weights or {}
    parts = {name: share * weights.get(name, 1.0) for name, share in shares.items()}
    total = sum(parts.values())
    return {name: part / total for name, part in parts.items()} if total > 0 else {}


def _mean(values: Sequence[tuple[float, int]]) -> float:
    """The mean of values, each of so many steps."""
    return sum(value * steps for value, steps in values) / sum(steps for _, steps in values)
