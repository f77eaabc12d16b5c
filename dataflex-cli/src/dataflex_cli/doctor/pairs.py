"""Pairs of versions that do not go together, and whose metadata does not say so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from dataflex_cli.doctor.check import Check, State
from dataflex_cli.doctor.installed import Environment, wishes

_BUILD = re.compile(r"cpu|xpu|cu\d+|rocm[\d.]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Versions ``range`` of ``name`` fail beside versions ``beside_range`` of ``beside``, and ``remedy`` mends it."""

    name: str
    range: str
    beside: str
    beside_range: str
    why: str
    remedy: str


PAIRS = (
    Pair(
        name="numpy",
        range="<2",
        beside="pyarrow",
        beside_range=">=26",
        why="pyarrow does not import beside it",
        remedy="numpy>=2.1",
    ),
    Pair(
        name="accelerate",
        range="<1.10.1",
        beside="transformers",
        beside_range=">=4.56,<5",
        why="transformers' training arguments cannot be read beside it",
        remedy="accelerate>=1.10.1,<=1.11.0",
    ),
    Pair(
        name="deepspeed",
        range="<0.14.4",
        beside="torch",
        beside_range=">=2.4",
        why="it imports what torch no longer has",
        remedy="deepspeed<=0.19.8",
    ),
    Pair(
        name="torch",
        range="<2.6",
        beside="transformers",
        beside_range=">=4.52",
        why="transformers loads no checkpoint's optimizer beside it",
        remedy="torch>=2.6,<2.12",
    ),
)


def pair_checks(environment: Environment) -> Iterator[Check]:
    """A problem for each of `PAIRS` that is installed, and a line for what is built for one torch alone."""
    for pair in PAIRS:
        found, beside = environment.versions.get(pair.name), environment.versions.get(pair.beside)
        if _within(found, pair.range) and _within(beside, pair.beside_range):
            detail = f"{found} beside {pair.beside} {beside}: {pair.why}"
            yield Check(name=pair.name, state=State.PROBLEM, detail=detail, remedy=f"pip install '{pair.remedy}'")
    yield from _built_for_torch(environment)


def _built_for_torch(environment: Environment) -> Iterator[Check]:
    """torchaudio has torch's version, torchvision's minor one is greater by 15; a tag such as cpu is one for all."""
    torch = _version(environment.versions.get("torch"))
    said = {wish.asker for wish in wishes(environment) if wish.name == "torch" and wish.range}
    for name, shift in (("torchaudio", None), ("torchvision", 15)):
        found = _version(environment.versions.get(name))
        if torch is None or found is None or torch.major != 2:
            continue
        wanted = (2, torch.minor) if shift is None else (0, torch.minor + shift)
        remedy = f"pip install '{name}=={wanted[0]}.{wanted[1]}.*' from where torch came from"
        if found.release[:2] != wanted and name not in said:
            detail = f"{found} is not built for torch {torch}, and LLaMA-Factory imports it"
            yield Check(name=name, state=State.PROBLEM, detail=detail, remedy=remedy)
        elif len({_build(torch), _build(found)} - {None}) == 2:
            detail = f"{found} and torch {torch} are builds that do not go together"
            yield Check(name=name, state=State.PROBLEM, detail=detail, remedy=remedy)
        elif found.release[:2] == wanted:
            yield Check(name=name, state=State.OK, detail=f"{found}, as torch")


def _within(found: str | None, text: str) -> bool:
    version = _version(found)
    return version is not None and SpecifierSet(text).contains(version, prereleases=True)


def _version(text: str | None) -> Version | None:
    try:
        return None if text is None else Version(text)
    except InvalidVersion:
        return None


def _build(version: Version) -> str | None:
    """The tag by which pytorch.org tells its builds apart; None for PyPI's and for those built at home."""
    return version.local if version.local and _BUILD.fullmatch(version.local) else None
