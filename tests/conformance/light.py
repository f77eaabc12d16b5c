"""Parameters whose module imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from dataflex_core import ReferenceModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """A required one that the kit gives itself."""

    reference: Annotated[ReferenceModel, Doc("whose losses are to be exceeded")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanting:
    """One that the author has to give, too."""

    reference: Annotated[ReferenceModel, Doc("whose losses are to be exceeded")]
    amount: Annotated[int, Doc("by how much")]
