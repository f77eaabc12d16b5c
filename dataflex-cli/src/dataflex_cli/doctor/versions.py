"""Installed versions against what DataFlex's and LLaMA-Factory's own metadata allow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from dataflex_cli.doctor.check import Check, State

ASKING = ("dataflex-cli", "dataflex-core", "dataflex-strategies", "llamafactory", "torchvision")
SHOWN = ("torch", "transformers", "llamafactory", "accelerate", "peft", "deepspeed")
OPTIONAL = {"deepspeed"}

Requires = Callable[[str], list[str] | None]
Installed = Callable[[str], str | None]


def installed_version(name: str) -> str | None:
    """The version of a distribution, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def version_checks(
    requires: Requires = requires, installed: Installed = installed_version, asking: Iterable[str] = ASKING
) -> Iterator[Check]:
    """A line for each of `SHOWN`, and for whatever else does not fit."""
    wanted: dict[str, list[tuple[str, Requirement]]] = {name: [] for name in SHOWN}
    for asker in asking:
        if installed(asker) is None:
            continue
        for requirement in map(Requirement, requires(asker) or ()):
            name = str(canonicalize_name(requirement.name))
            # What an extra asks for holds for whoever has it, as nobody remembers which extras were installed.
            extra = {"extra": "deepspeed"} if name in OPTIONAL else {"extra": ""}
            if requirement.marker is None or requirement.marker.evaluate(extra):
                wanted.setdefault(name, []).append((asker, requirement))
    for name, requirements in wanted.items():
        check = _check(name, installed(name), requirements)
        if name in SHOWN or check.state is not State.OK:
            yield check
    yield from _audio(installed("torch"), installed("torchaudio"))


def _check(name: str, found: str | None, requirements: list[tuple[str, Requirement]]) -> Check:
    ranges = ", ".join(dict.fromkeys(f"{asker} {r.specifier}" for asker, r in requirements if r.specifier))
    allowed = f" ({ranges})" if ranges else ""
    if found is None and name in OPTIONAL:
        return Check(name=name, state=State.OK, detail="not installed, and not needed without ZeRO")
    if found is None:
        who = ", ".join(asker for asker, _ in requirements)
        remedy = f"pip install '{requirements[0][1]}'" if requirements else f"pip install {name}"
        return Check(name=name, state=State.PROBLEM, detail=f"not installed; {who} needs it", remedy=remedy)
    wrong = [(asker, r) for asker, r in requirements if not r.specifier.contains(found, prereleases=True)]
    if not wrong:
        return Check(name=name, state=State.OK, detail=f"{found}{allowed}")
    asker, requirement = wrong[0]
    detail = f"{found}, and {asker} allows {requirement.specifier}"
    together = "".join(f",{r.specifier}" for _, r in requirements if r.specifier)[1:]
    return Check(name=name, state=State.PROBLEM, detail=detail, remedy=f"pip install '{name}{together}'")


def _audio(torch: str | None, torchaudio: str | None) -> Iterator[Check]:
    """torchaudio says nothing of torch in its metadata, and does not import beside another one."""
    if torch is None or torchaudio is None:
        return
    theirs, ours = Version(torchaudio).release[:2], Version(torch).release[:2]
    if theirs == ours:
        yield Check(name="torchaudio", state=State.OK, detail=f"{torchaudio}, as torch")
    else:
        detail = f"{torchaudio} is not built for torch {torch}, and LLaMA-Factory imports it"
        remedy = f"pip install 'torchaudio=={ours[0]}.{ours[1]}.*', or the torch that goes with it"
        yield Check(name="torchaudio", state=State.PROBLEM, detail=detail, remedy=remedy)
