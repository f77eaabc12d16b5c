"""What pydantic says of values, as parts of our own lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def message_of(details: Mapping[str, Any]) -> str:
    """The text of one of ``ValidationError.errors()``, to stand after a colon."""
    text = str(details["msg"]).removeprefix("Value error, ")
    return (text[:1].lower() + text[1:]).replace("a valid tuple", "a list")


def messages_by_key(error: ValidationError) -> dict[str, str]:
    """What is wrong with each top-level key. A value that fits no arm of a union has a message an arm, joined by or."""
    messages: dict[str, list[str]] = {}
    for details in error.errors(include_url=False):
        messages.setdefault(str(details["loc"][0]), []).append(message_of(details))
    return {key: " or ".join(texts) for key, texts in messages.items()}
