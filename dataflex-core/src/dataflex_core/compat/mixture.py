"""What a file of DataFlex 1.x says about proportions. Without a rule the proportions are the file's own, as with
``mixture``; without proportions they are equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataflex_core.compat.keys import OldKeys
from dataflex_core.errors import InvalidConfig


def warmup_of(old: OldKeys, domains: Sequence[str]) -> str | dict[str, float]:
    """The proportions before the first decision. Raises `InvalidConfig` where they do not fit the data sets."""
    if old.mixture_sample_rule == "stratified":
        return "size"
    shares = old.init_mixture_proportions
    if old.mixture_sample_rule == "uniform" or shares is None:
        return "uniform"
    if len(shares) != len(domains):
        raise InvalidConfig(
            f"init_mixture_proportions holds {len(shares)} shares for {len(domains)} data sets",
            hint=f"the data sets are {', '.join(domains)}" if domains else "name the data sets in dataset",
        )
    return dict(zip(domains, shares, strict=True))


def fixed_mixer(old: OldKeys, domains: Sequence[str]) -> dict[str, Any]:
    """The mixer that keeps those proportions throughout."""
    shares = warmup_of(old, domains)
    if shares == "size":
        return {"name": "temperature", "temperature": 1.0}
    return {"name": "static", "proportions": equal(domains) if shares == "uniform" else shares}


def equal(domains: Sequence[str]) -> dict[str, float]:
    """The same share for each domain."""
    return dict.fromkeys(domains, 1.0)


def ignores_its_mixer(old: OldKeys) -> bool:
    """Whether 1.x keeps the proportions whatever the mixer answers."""
    return old.static_mix or old.mixture_sample_rule in ("stratified", "uniform")
