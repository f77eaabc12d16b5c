"""Proportions as a section of a configuration, to paste."""

from __future__ import annotations

from collections.abc import Mapping

from dataflex_core.config.section import SECTION

_WORDS = {"true", "false", "yes", "no", "on", "off", "null", "nan", "inf"}
_WIDE = 10**9


def section_of(shares: Mapping[str, float], unit: str) -> str:
    """A run that keeps to ``shares``, of samples or of what ``unit`` says, in YAML. No share is rounded to nothing."""
    of = [] if unit == "samples" else [f"  unit: {unit}"]
    lines = [f"      {name_of(name)}: {_number(share)}" for name, share in shares.items()]
    return "\n".join([f"{SECTION}:", *of, "  mixer:", "    name: static", "    proportions:", *lines]) + "\n"


def _number(share: float) -> str:
    import yaml

    return str(yaml.safe_dump(float(f"{share:.6g}"))).split("\n", 1)[0]


def name_of(name: str) -> str:
    """Quoted, but where whatever reads YAML takes it for text."""
    import yaml

    plain = name.replace("_", "").replace("-", "")
    if plain.isalnum() and not plain[0].isdigit() and plain.lower() not in _WORDS and name[0] != "-":
        return name
    return str(yaml.safe_dump(name, default_style='"', allow_unicode=True, width=_WIDE)).strip("\n")
