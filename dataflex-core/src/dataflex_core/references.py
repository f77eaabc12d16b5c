"""Parameters that name a reference model: a frozen model beside the one in training."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

BASE = "base"
"""The name of the model that the run started from, without its adapter."""


@dataclass(frozen=True, slots=True)
class NamesModel:
    """Marks a parameter whose value is the path of a causal language model, or `BASE`."""


ReferenceModel = Annotated[str, NamesModel()]
"""The type of such a parameter: ``reference_model: Annotated[ReferenceModel, Doc("trained on held-out data")]``.

Before the run loads anything it is checked that the model can be read and has the vocabulary of the one in training.
"""


def reference_models(params: Any) -> Mapping[str, str]:
    """The models that a parameter dataclass's instance names, by parameter; those that are None are left out."""
    if not dataclasses.is_dataclass(params):
        return {}
    named = reference_parameters(type(params))
    return {name: str(value) for name in named if (value := getattr(params, name)) is not None}


def reference_parameters(params: type[Any]) -> tuple[str, ...]:
    """The names of a parameter dataclass's fields that name a reference model."""
    hints = typing.get_type_hints(params, include_extras=True)
    return tuple(field.name for field in dataclasses.fields(params) if _names_model(hints[field.name]))


def _names_model(hint: Any) -> bool:
    return isinstance(hint, NamesModel) or any(map(_names_model, get_args(hint)))
