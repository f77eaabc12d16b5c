"""Installed versions against what every installed distribution's metadata asks for."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dataflex_cli.doctor.check import Check, State
from dataflex_cli.doctor.installed import Environment, Wish, python_wishes, wishes

OURS = ("dataflex-cli", "dataflex-core", "dataflex-strategies")
SHOWN = ("torch", "transformers", "llamafactory", "accelerate", "peft", "deepspeed")
OPTIONAL = {"deepspeed"}


def version_checks(environment: Environment) -> Iterator[Check]:
    """A line for each of `SHOWN`, and for whatever else does not fit.

    A problem where training imports what asks, a warning where something else in the environment does.
    """
    all_wishes = wishes(environment)
    trains = _reached(all_wishes, environment)
    wanted: dict[str, list[Wish]] = {name: [] for name in SHOWN}
    for wish in all_wishes:
        wanted.setdefault(wish.name, []).append(wish)
    unmet = {name: wrong for name, asked in wanted.items() if (wrong := _unmet(environment.versions.get(name), asked))}
    for name, asked in wanted.items():
        if name in unmet and not _follows(name, unmet):
            yield _problem(name, environment.versions.get(name), asked, unmet, trains)
        elif name in SHOWN:
            yield _well(name, environment.versions.get(name), asked)
    yield from _python(environment, trains)


def _reached(all_wishes: Sequence[Wish], environment: Environment) -> set[str]:
    """What training imports, so far as metadata tells: DataFlex, engines, and what they ask for."""
    reached = {*OURS, *OPTIONAL} & environment.versions.keys()
    while new := {wish.name for wish in all_wishes if wish.asker in reached and not wish.optional} - reached:
        reached |= new
    return reached


def _unmet(found: str | None, asked: Sequence[Wish]) -> list[Wish]:
    if found is None:
        return [wish for wish in asked if not wish.optional]
    return [wish for wish in asked if not wish.allows(found)]


def _follows(name: str, unmet: Mapping[str, Sequence[Wish]]) -> bool:
    """Whether only others ask for another version that are to be replaced themselves, as whoever fits asks for it."""
    replaced = {name for name, wrong in unmet.items() if any(wish.asker not in unmet for wish in wrong)}
    return name not in replaced and all(wish.asker in replaced for wish in unmet[name])


def _well(name: str, found: str | None, asked: Sequence[Wish]) -> Check:
    if found is None:
        missing = name not in OPTIONAL
        detail = "not installed" if missing else "not installed, and not needed without ZeRO"
        remedy = f"pip install {name}" if missing else ""
        return Check(name=name, state=State.PROBLEM if missing else State.OK, detail=detail, remedy=remedy)
    ranges = dict.fromkeys(f"{wish.asker} {wish.range}" for wish in asked if wish.range)
    return Check(name=name, state=State.OK, detail=f"{found} ({', '.join(ranges)})" if ranges else found)


def _problem(
    name: str, found: str | None, asked: Sequence[Wish], unmet: Mapping[str, Sequence[Wish]], trains: set[str]
) -> Check:
    wrong = unmet[name]
    state = State.PROBLEM if any(wish.asker in trains for wish in wrong) else State.WARNING
    if found is None:
        askers = ", ".join(dict.fromkeys(wish.asker for wish in wrong))
        detail = f"not installed; {askers} needs it"
    else:
        ranges = dict.fromkeys(f"{wish.asker} allows {wish.range}" for wish in wrong)
        detail = f"{found}, and {', '.join(ranges)}"
    return Check(name=name, state=state, detail=detail, remedy=_remedy(name, asked, unmet))


def _remedy(name: str, asked: Sequence[Wish], unmet: Mapping[str, Sequence[Wish]]) -> str:
    """The line that installs what all ask for. Who does not fit itself is to be replaced, and does not count."""
    counted = [wish for wish in asked if wish.asker not in unmet] or unmet[name]
    together = _together(counted)
    if _can_be_met(together):
        return f"pip install {shlex.quote(f'{name}{together}')}"
    askers = dict.fromkeys(wish.asker for wish in counted if wish.range)
    others = [asker for asker in askers if asker not in OURS] or askers
    return f"no {name} fits them all: pip install --upgrade {' '.join(others)}"


def _together(asked: Sequence[Wish]) -> SpecifierSet:
    """All ranges in one, of the lower and of the upper bounds the tightest."""
    bounds = {specifier for wish in asked for specifier in wish.range}
    lower = [specifier for specifier in bounds if specifier.operator == ">="]
    upper = [specifier for specifier in bounds if specifier.operator == "<"]
    loose = {*lower, *upper}
    if lower:
        loose.remove(max(lower, key=lambda specifier: Version(specifier.version)))
    if upper:
        loose.remove(min(upper, key=lambda specifier: Version(specifier.version)))
    return SpecifierSet(",".join(map(str, bounds - loose)))


def _can_be_met(together: SpecifierSet) -> bool:
    """Whether a version can be in all ranges: if any, then one that a range names, or one just beside it."""
    for specifier in together:
        if specifier.operator == "===":  # compares text, which need not be a version
            return True
        version = Version(specifier.version.removesuffix(".*"))
        release = version.release
        before = (*release[:-1], release[-1] - 1, 99999) if release[-1] else ()
        beside = [".".join(map(str, numbers)) for numbers in (release, (*release, 0, 1), before) if numbers]
        if any(together.contains(text, prereleases=True) for text in (str(version), *beside)):
            return True
    return not together


def _python(environment: Environment, trains: set[str]) -> Iterator[Check]:
    asked = [wish for wish in python_wishes(environment) if wish.asker in trains]
    wrong = [wish for wish in asked if not wish.allows(environment.python)]
    if wrong:
        ranges = ", ".join(f"{wish.asker} allows {wish.range}" for wish in wrong)
        ours = next((wish.range for wish in asked if wish.asker in OURS), wrong[0].range)
        yield Check(
            name="python",
            state=State.PROBLEM,
            detail=f"{environment.python}, and {ranges}",
            remedy=f"install into a virtual environment with Python {ours}",
        )
