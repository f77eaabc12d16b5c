"""Whether a plugin was written for this DataFlex."""

from __future__ import annotations

from collections.abc import Iterable

from dataflex_core import __version__
from dataflex_core.errors import StrategyFault
from dataflex_core.hooks import API_VERSION

_CORE = "dataflex-core"


def check_requirements(requires: Iterable[str]) -> None:
    """Whether a distribution's ``Requires-Dist`` admit this dataflex-core. Raises `StrategyFault`."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue  # of another package, or of ours in no known form: importing will tell
        if canonicalize_name(wanted.name) != _CORE or (wanted.marker is not None and not wanted.marker.evaluate()):
            continue
        if not wanted.specifier.contains(__version__, prereleases=True):
            raise StrategyFault(
                f"requires {_CORE}{wanted.specifier}, and {__version__} is installed",
                hint="install versions that go together",
            )


def check_contract(plugin: object) -> None:
    """Whether the plugin was written for this contract: `API_VERSION`, or no ``DATAFLEX_API`` at all."""
    written_for = getattr(plugin, "DATAFLEX_API", API_VERSION)
    if written_for != API_VERSION:
        raise StrategyFault(
            f"is written for version {written_for!r} of DataFlex's plugin contract, and this is {API_VERSION}",
            hint=f"install a version of it for dataflex-core {__version__}",
        )
