"""What is installed, and what each distribution asks of the others."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

OWN_EXTRAS = (("dataflex-core", "deepspeed"),)
"""What these ask for holds for whoever has it: nobody remembers which extras were installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Versions, requirements (`Requires-Dist`) and allowed Pythons by distribution, whose names are normalized."""

    versions: Mapping[str, str]
    requires: Mapping[str, Sequence[str]]
    pythons: Mapping[str, str]
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What ``asker`` asks of ``name``. What is ``optional`` may be missing, and has to fit where it is there."""

    asker: str
    name: str
    range: SpecifierSet
    optional: bool = False

    def allows(self, version: str) -> bool:
        """Whether it asks for this version; for one that cannot be read, too."""
        try:
            return self.range.contains(Version(version), prereleases=True)
        except InvalidVersion:
            return True


def read_environment() -> Environment:
    """This interpreter's. Of a distribution that is there twice, what is imported counts."""
    versions: dict[str, str] = {}
    requires: dict[str, Sequence[str]] = {}
    pythons: dict[str, str] = {}
    for distribution in distributions():
        found, version = _field(distribution, "Name"), _field(distribution, "Version")
        if not found or not version or (name := _name(found)) in versions:
            continue
        versions[name] = version
        requires[name] = distribution.requires or ()
        if python := _field(distribution, "Requires-Python"):
            pythons[name] = python
    return Environment(versions=versions, requires=requires, pythons=pythons, python=platform.python_version())


def _field(distribution: Distribution, name: str) -> str | None:
    """None where it is missing: what importlib_metadata puts in the standard library's place raises for brackets."""
    found = distribution.metadata.get_all(name)
    return found[0] if found else None


def wishes(environment: Environment) -> list[Wish]:
    """All that hold here, those of extras that something installed asks for too; what cannot be read is left out."""
    found: list[Wish] = []
    pending = [(name, "", False) for name in environment.versions]
    pending += [(name, extra, True) for name, extra in OWN_EXTRAS if name in environment.versions]
    seen = set(pending)
    while pending:
        asker, extra, optional = pending.pop(0)
        for requirement in _requirements(environment, asker, extra):
            name = _name(requirement.name)
            found.append(Wish(asker=asker, name=name, range=requirement.specifier, optional=optional))
            new = {(name, str(canonicalize_name(of)), optional) for of in requirement.extras} - seen
            seen |= new
            pending += sorted(new)
    return found


def python_wishes(environment: Environment) -> list[Wish]:
    """The Pythons that each distribution allows."""
    found = []
    for asker, text in environment.pythons.items():
        try:
            found.append(Wish(asker=asker, name="python", range=SpecifierSet(text)))
        except InvalidSpecifier:
            continue
    return found


def _requirements(environment: Environment, asker: str, extra: str) -> list[Requirement]:
    found = []
    for text in environment.requires.get(asker, ()):
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if _holds(requirement, extra) and not (extra and _holds(requirement, "")):
            found.append(requirement)
    return found


def _holds(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _name(text: str) -> str:
    return str(canonicalize_name(text))
