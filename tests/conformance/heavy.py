"""Parameters that cost every ``dataflex describe`` an import of pydantic."""

from dataclasses import dataclass

import pydantic


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """None, by way of pydantic."""

    known: tuple[str, ...] = tuple(pydantic.__all__[:1])
