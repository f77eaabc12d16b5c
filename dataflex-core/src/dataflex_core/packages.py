"""Which packages are installed, asked without importing one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from packaging.requirements import Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A distribution, by what pip would be asked for, and the ``module`` that is imported of it where that counts."""

    requirement: str
    module: str | None = None

    @property
    def name(self) -> str:
        """The distribution's name."""
        return Requirement(self.requirement).name

    @property
    def install(self) -> str:
        """The line that installs it; quoted where a shell would read more into it."""
        quotes = "'" if any(sign in self.requirement for sign in "<>[ ") else ""
        return f"pip install {quotes}{self.requirement}{quotes}"

    @property
    def missing(self) -> str | None:
        """Why it is as good as not there, after its name; None where it is there."""
        wanted = Requirement(self.requirement)
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            return None if self.module is not None and _is_importable(self.module) else "is not installed"
        fits = wanted.specifier.contains(found, prereleases=True)
        return None if fits else f"{found} is installed, and {wanted.specifier} is needed"


def _is_importable(module: str) -> bool:
    """Whether a module of that name is there: a folder that happens to be called so is none."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None
