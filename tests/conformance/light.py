"""Parameters whose module imports nothing heavy."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from dataflex_core import ReferenceModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """A required one that the kit gives itself."""

    reference: Annotated[ReferenceModel, Doc("whose losses are to be exceeded")]
