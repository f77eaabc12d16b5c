"""What pydantic says of values, as parts of our own lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def said_of(details: Mapping[str, Any]) -> str:
    """One complaint's text, to stand after a colon."""
    text = str(details["msg"]).removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def by_key(error: ValidationError) -> dict[str, str]:
    """What is said of each top-level key; a value that fits no arm of a union has a complaint an arm."""
    said: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        said.setdefault(str(details["loc"][0]), []).append(said_of(details))
    return {key: " or ".join(texts) for key, texts in said.items()}
