"""Checks run on strategies: one by one for a test runner, or all of them at once."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataflexError, UsageError
from dataflex_core.spec import Kind, StrategySpec
from dataflex_core.testing.checks import Check, answers, declaration, edges, side_effects, state
from dataflex_core.testing.errors import CheckFailed, NotConforming
from dataflex_core.testing.runner import Subject
from dataflex_core.wording import did_you_mean

Values = Mapping[str, Any]

_CHECKS: tuple[Check, ...] = tuple(
    item
    for module in (declaration, answers, state, side_effects, edges)
    for item in vars(module).values()
    if isinstance(item, Check)
)


def all_checks(kind: Kind | str | None = None) -> dict[str, str]:
    """The checks of a kind, or of all kinds: what each promises, by name."""
    return {check.name: check.description for check in _CHECKS if kind is None or Kind(kind) in check.kinds}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a check: what it promises, and how the strategy fails it, None where it does not."""

    check: str
    promise: str
    failure: str | None


def run_checks(
    spec: StrategySpec, *, params: Values | None = None, only: Iterable[str] = (), single_file: bool = False
) -> Iterator[Outcome]:
    """Run the checks that apply to the strategy, one by one; ``only`` names some of them.

    ``single_file`` is for a strategy whose declaration lies beside it in a file, and may import what it needs. Raises
    `UsageError` for a check that there is not.
    """
    subject, wanted = Subject(spec=spec, values=params or {}, single_file=single_file), set(only)
    for name in wanted:
        _known(name, {check.name for check in _of(spec)}, "check")
    for check in _runnable(subject):
        if not wanted or check.name in wanted or _missing(subject):
            failed = _failure(check, subject)
            yield Outcome(check=check.name, promise=check.description, failure=None if failed is None else str(failed))


def check_strategy(
    spec: StrategySpec, *, params: Values | None = None, expected_failures: Mapping[str, str] | None = None
) -> None:
    """Run every check that applies to the strategy. Raises `NotConforming` with all that fail, and why.

    ``params`` are values for its parameters, where the defaults do not do; where required ones are missing, that is the
    one failure, of ``builds``. ``expected_failures`` says why a check may
    fail, by its name; one that passes all the same is a failure, too. Raises `UsageError` for a name that there is not.
    """
    expected = _expected([spec], expected_failures or {})
    failures: dict[str, str] = {}
    for done in run_checks(spec, params=params):
        reason = _of_spec(expected, spec, done.check)
        if done.failure is not None and reason is None:
            failures[done.check] = done.failure
        elif done.failure is None and reason is not None:
            failures[done.check] = f"passes, and was expected to fail: {reason}"
    if failures:
        raise NotConforming(f"{spec.kind} {spec.name}", failures, checks=len(_of(spec)))


def parametrize_with_checks(
    specs: Iterable[StrategySpec],
    *,
    params: Mapping[str, Values | Iterable[Values]] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Any], Any]:
    """Parametrise the argument ``check`` of a pytest test: a callable for each check of each strategy.

    ``params`` has values for a strategy's parameters, or a list of such values to check it with each, by name. A check
    in ``expected_failures``, by name or as ``strategy/check``, is a strict xfail with that reason. Where strategies of
    two kinds share a name, write ``kind-name`` for it. Raises `UsageError` for a name that there is not.
    """
    import pytest

    specs = list(specs)
    values = dict(params or {})
    names = {name for spec in specs for name in _names(spec)}
    for name in values:
        _known(name, names, "strategy")
    expected = _expected(specs, expected_failures or {})
    cases = []
    for case in _cases(specs, values):
        reason = _of_spec(expected, case.subject.spec, case.check.name)
        marks = () if reason is None else pytest.mark.xfail(strict=True, raises=CheckFailed, reason=reason)
        cases.append(pytest.param(case, id=case.id, marks=marks))
    return pytest.mark.parametrize("check", cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A check of one strategy, to be called. Raises `CheckFailed`."""

    id: str
    check: Check = field(repr=False)
    subject: Subject = field(repr=False)

    def __call__(self) -> None:
        """Run it."""
        if (failed := _failure(self.check, self.subject)) is not None:
            raise failed


def _cases(specs: Iterable[StrategySpec], values: Mapping[str, Values | Iterable[Values]]) -> Iterator[Case]:
    for spec in specs:
        given = next((values[name] for name in _names(spec) if name in values), {})
        several = [given] if isinstance(given, Mapping) else list(given)
        for number, one in enumerate(several, start=1):
            who = f"{spec.kind}-{spec.name}" + (f"-{number}" if len(several) > 1 else "")
            subject = Subject(spec=spec, values=one)
            for check in _runnable(subject):
                yield Case(id=f"{who}-{check.name}", check=check, subject=subject)


def _runnable(subject: Subject) -> list[Check]:
    """The checks of a strategy; `builds` alone, which says so, where it cannot be built for want of parameters."""
    return [check for check in _of(subject.spec) if check.name == "builds" or not _missing(subject)]


def _missing(subject: Subject) -> tuple[str, ...]:
    try:
        return subject.missing
    except (Exception, SystemExit):
        return ()  # a check will say what is wrong with its parameters


def _failure(check: Check, subject: Subject) -> CheckFailed | None:
    """How a check fails, whatever the strategy raises."""
    try:
        check.run(subject)
    except CheckFailed as failed:
        return failed
    except (Exception, SystemExit) as error:
        raised = CheckFailed(_told(error, subject))
        raised.__cause__ = error
        return raised
    return None


def _told(error: BaseException, subject: Subject) -> str:
    """One line about an exception: where in the strategy it comes from, if it has no remedy to offer."""
    if isinstance(error, DataflexError):
        return str(error)
    notes = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
    frames = traceback.extract_tb(error.__traceback__)
    source = getattr(sys.modules.get(subject.spec.target.partition(":")[0]), "__file__", None)
    frame = next((frame for frame in reversed(frames) if frame.filename == source), frames[-1])
    where = f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}"
    return f"raises {type(error).__name__}{notes}: {error} ({where})"


def _of(spec: StrategySpec) -> list[Check]:
    return [check for check in _CHECKS if spec.kind in check.kinds]


def _names(spec: StrategySpec) -> tuple[str, str]:
    """What a strategy goes by, the clearer name first."""
    return f"{spec.kind}-{spec.name}", spec.name


def _expected(specs: Iterable[StrategySpec], given: Mapping[str, str]) -> Mapping[str, str]:
    """``given``, known to name checks of these strategies."""
    specs = list(specs)
    for name in given:
        strategy, _, check = name.rpartition("/")
        if strategy:
            _known(strategy, {known for spec in specs for known in _names(spec)}, "strategy")
        fitting = [spec for spec in specs if not strategy or strategy in _names(spec)]
        _known(check, {known.name for spec in fitting for known in _of(spec)}, "check")
    return given


def _of_spec(expected: Mapping[str, str], spec: StrategySpec, check: str) -> str | None:
    keys = [*(f"{name}/{check}" for name in _names(spec)), check]
    return next((expected[key] for key in keys if key in expected), None)


def _known(name: str, names: set[str], what: str) -> None:
    if name not in names:
        raise UsageError(f"there is no {what} {name!r}", hint=did_you_mean(name, names))
