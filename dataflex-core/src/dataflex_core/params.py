"""Strategy parameters: a dataclass with ``Annotated`` constraints, described without pydantic, validated with it.

A parameter is a field ``name: Annotated[type, constraint…, Doc("help")] = default``; constraints are those of
``annotated_types`` (`Gt`, `Ge`, `Interval`, …), as pydantic understands them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types as at
from typing_extensions import Doc

from dataflex_core.errors import InvalidParameters, StrategyFault, did_you_mean
from dataflex_core.strategy import NoParams

# The limits of annotated_types' constraints, by the attribute that holds them.
_LIMITS = {
    "gt": "> {}",
    "ge": ">= {}",
    "lt": "< {}",
    "le": "<= {}",
    "multiple_of": "a multiple of {}",
    "min_length": "at least {} items",
    "max_length": "at most {} items",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter, as text: for tables and JSON. ``default`` is None, and ``required`` True, where it has none."""

    name: str
    type: str
    default: Any
    required: bool
    constraints: tuple[str, ...]
    help: str


def describe(params: type[Any] | None) -> tuple[Parameter, ...]:
    """The parameters of a dataclass, in order."""
    if params is None:
        return ()
    given = _given(params)
    hints = typing.get_type_hints(params, include_extras=True)
    return tuple(_parameter(field, hints[field.name]) for field in given)


def validate(params: type[Any] | None, values: Mapping[str, Any], *, owner: str) -> Any:
    """An instance of ``params`` from ``values``; every fault in one `InvalidParameters`, named after ``owner``."""
    kind = NoParams if params is None else params
    known = [field.name for field in _given(kind)]
    faults = [f"no parameter {key!r} ({did_you_mean(key, known)})" for key in values if key not in known]
    given = {key: value for key, value in values.items() if key in known}
    import pydantic

    try:
        made = pydantic.TypeAdapter(kind).validate_python(given)
    except pydantic.ValidationError as error:
        faults.extend(_faults(error))
        made = None
    except ValueError as error:
        faults.append(str(error))
        made = None
    if faults:
        raise InvalidParameters(f"{owner}: " + "; ".join(faults), hint=f"see: dataflex describe {owner.split()[-1]}")
    return made


def _given(params: type[Any]) -> list[Field[Any]]:
    if not is_dataclass(params):
        raise StrategyFault(f"{params!r} is no dataclass", hint="parameters are the fields of a dataclass")
    return [field for field in fields(params) if field.init]


def _faults(error: Any) -> list[str]:
    # A value that fits no arm of a union is reported once an arm, the arm's name in its place.
    seen: dict[Any, list[Any]] = {}
    for details in error.errors(include_url=False):
        key = (details["loc"][:1], repr(details["input"]))
        seen.setdefault(key, []).append(details)
    found = []
    for group in seen.values():
        if len(group) > 1:
            said = " or ".join(d["msg"][0].lower() + d["msg"][1:] for d in group)
            found.append(f"{group[0]['loc'][0]}={group[0]['input']!r}: {said}")
        else:
            found.append(_fault(group[0]))
    return found


def _fault(details: Any) -> str:
    where = ".".join(str(part) for part in details["loc"] if not str(part).startswith("function-"))
    said = details["msg"].removeprefix("Value error, ")
    text = said[:1].lower() + said[1:]
    if details["type"] == "missing":
        return f"{where} is required"
    return f"{where}={details['input']!r}: {text}" if where else text


def _parameter(field: Any, hint: Any) -> Parameter:
    bare = hint
    metadata: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        bare, *rest = get_args(hint)
        metadata = tuple(rest)
    factory = field.default_factory is not MISSING
    default = field.default_factory() if factory else field.default
    required = default is MISSING
    return Parameter(
        name=field.name,
        type=_type_name(bare),
        default=None if required else default,
        required=required,
        constraints=tuple(text for item in metadata for text in _constraints(item)),
        help=next((item.documentation for item in metadata if isinstance(item, Doc)), ""),
    )


def _constraints(item: Any) -> list[str]:
    if isinstance(item, at.GroupedMetadata):
        return [text for part in item for text in _constraints(part)]
    return [text.format(getattr(item, limit)) for limit, text in _LIMITS.items() if hasattr(item, limit)]


def _type_name(hint: Any) -> str:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _type_name(args[0])
    if origin is Literal:
        return " | ".join(repr(value) for value in args)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(_type_name(arg) for arg in args)
    if origin is not None:
        return f"{_type_name(origin)}[{', '.join(_type_name(arg) for arg in args)}]"
    if hint is ...:
        return "..."
    if hint is type(None):
        return "null"
    return getattr(hint, "__name__", str(hint))
