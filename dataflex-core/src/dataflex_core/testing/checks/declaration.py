"""The declaration: what a plugin says of a strategy, and what saying it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dataflex_core.catalog import discover
from dataflex_core.config import params
from dataflex_core.config.plain import plain_values
from dataflex_core.errors import InvalidParameters, UsageError
from dataflex_core.hooks import PROJECT
from dataflex_core.requests import CheckRequest
from dataflex_core.spec import Need, StrategySpec
from dataflex_core.testing.checks import check
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.runner import Subject, fitting_some, run_scenario
from dataflex_core.testing.scenarios import everyday

HEAVY = ("torch", "transformers", "numpy", "pydantic")
"""What costs every ``dataflex`` command seconds, or tenths of them, where a declaration imports it."""

# In a process of its own: this one has imported everything.
_IMPORTS = """
import importlib, json, sys
from importlib.metadata import EntryPoint
from dataflex_core.catalog import discover
before = set(sys.modules)
for name, value, group in json.loads(sys.argv[1]):
    discover([EntryPoint(name, value, group)])
for module in json.loads(sys.argv[2]):
    importlib.import_module(module)
print(json.dumps([name for name in json.loads(sys.argv[3]) if name in sys.modules and name not in before]))
"""


@check()
def declares_lightly(subject: Subject) -> None:
    """Declaring the strategy, and describing its parameters, imports no torch, transformers, numpy or pydantic."""
    if subject.single_file:
        return  # who names a file waits for what it imports
    if heavy := _imported_by_declaring(subject.spec):
        raise CheckFailed(f"declaring imports {', '.join(heavy)}; import them in the function that needs them")


@check()
def builds(subject: Subject) -> None:
    """The target is a class of its kind that lacks no method, is built from its parameters, and costs a number."""
    if subject.missing:
        missing, example = " and ".join(subject.missing), ", ".join(f"{name!r}: …" for name in subject.missing)
        verb = "is" if len(subject.missing) == 1 else "are"
        raise CheckFailed(f"{missing} {verb} required: give params={{{example}}}")
    subject.make()
    chosen, first = subject.chosen, everyday(subject.spec.kind)[0]
    for decision, layers in ((1, None), (2, 24)):
        chosen.cost(decision, layers=layers)
    with suppress(UsageError):  # the parameters need not fit the kit's runs, as in setup
        chosen.check(CheckRequest(domains=tuple(d.name for d in first.pool.domains), columns=tuple(first.pool.columns)))


@check()
def is_documented(subject: Subject) -> None:
    """The class has a docstring of its own, and every parameter a Doc."""
    implementation = subject.record.load()
    if not (vars(implementation).get("__doc__") or "").strip():
        raise CheckFailed(f"{implementation.__name__} has no docstring: `dataflex describe` prints it")
    known = params.describe(subject.record.load_params())
    if silent := [parameter.name for parameter in known if not parameter.help.strip()]:
        raise CheckFailed(f"nothing says what {', '.join(silent)} means: write name: Annotated[type, Doc('…')]")


@check()
def parameters_are_validated(subject: Subject) -> None:
    """Defaults keep their own limits, no parameter takes NaN or an object of any type, and a journal gives all back."""
    kind, owner = subject.record.load_params(), f"{subject.spec.kind} {subject.spec.name}"
    made = params.validate(kind, subject.given, owner=owner)
    for parameter in params.describe(kind):
        if not parameter.required:
            try:
                params.validate(kind, {**subject.given, parameter.name: parameter.default}, owner=owner)
            except InvalidParameters as error:
                raise CheckFailed(f"the default of {parameter.name} is refused: {error.message}") from error
        for value in (float("nan"), object()):
            try:
                params.validate(kind, {**subject.given, parameter.name: value}, owner=owner)
            except InvalidParameters:
                continue
            what = "NaN: give it a type" if isinstance(value, float) else "any object: give it a type"
            raise CheckFailed(f"{parameter.name} takes {what}")
    _come_back(made, owner)


def _come_back(made: Any, owner: str) -> None:
    """From what a journal holds of parameters, a replay makes them again."""
    hint = "give it a type that pydantic reads from JSON"
    try:
        again = params.restored(type(made), json.loads(json.dumps(plain_values(made))), owner=owner)
    except InvalidParameters as error:
        raise CheckFailed(f"what a journal holds of the parameters is refused: {error.message}; {hint}") from error
    for name in plain_values(made):
        was, is_ = getattr(made, name), getattr(again, name)
        if not _same(was, is_):
            raise CheckFailed(f"{name} was {was!r}, and comes back from a journal as {is_!r}: {hint}")


def _same(was: Any, is_: Any) -> bool:
    """Whether they are equal; a list, where only a sequence is asked for, is as good as a tuple."""
    if isinstance(was, list | tuple) and isinstance(is_, list | tuple):
        return len(was) == len(is_) and all(map(_same, was, is_))
    return bool(was == is_)


@check()
def needs_are_declared(subject: Subject) -> None:
    """What the strategy asks for is among the needs of its spec, those for its parameters included."""
    needs, asked = subject.chosen.needs, set[Need]()
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        asked |= run_scenario(subject, scenario)[0].asked
    if missing := [f"Need.{need.name}" for need in Need if need in asked - needs]:
        raise CheckFailed(f"asks for what the spec does not declare: add {', '.join(missing)} to its needs")


@cache
def _imported_by_declaring(spec: StrategySpec) -> tuple[str, ...]:
    points = [(point.name, point.value, point.group) for point in _points_of(spec)]
    modules = [] if spec.params is None else [spec.params.partition(":")[0]]
    arguments = [json.dumps(given) for given in (points, modules, HEAVY)]
    done = subprocess.run(
        [sys.executable, "-P", "-c", _IMPORTS, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(place or os.getcwd() for place in sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise CheckFailed(f"cannot be declared in a process of its own: {told}")
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def _points_of(spec: StrategySpec) -> Iterator[EntryPoint]:
    """The installed entry points that declare exactly this strategy; none where it is not installed."""
    for point in entry_points(group=PROJECT):
        if any(record.spec == spec for record in discover([point]).records):
            yield point
