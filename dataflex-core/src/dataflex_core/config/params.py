"""Strategy parameters: a dataclass with ``Annotated`` constraints, described without pydantic, validated with it.

A parameter is a field ``name: Annotated[type, constraint…, Doc("help")] = default``; constraints are those of
``annotated_types`` (`Gt`, `Ge`, `Interval`, …), as pydantic understands them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import annotated_types as at
from typing_extensions import Doc

from dataflex_core.config.messages import message_of
from dataflex_core.errors import InvalidParameters, StrategyFault
from dataflex_core.finite import misnumbered
from dataflex_core.requests import NoParams
from dataflex_core.strategy_faults import named, place_of, place_of_class
from dataflex_core.wording import did_you_mean, one_line

if TYPE_CHECKING:
    import pydantic

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
    """The parameters of a dataclass, in order.

    Raises `StrategyFault` where it is none, its types are not known, or a default cannot be made.
    """
    if params is None:
        return ()
    given, hints = _given(params), _hints(params)
    return tuple(_parameter(field, hints[field.name], _default(params, field)) for field in given)


def validate(params: type[Any] | None, values: Mapping[str, Any], *, owner: str) -> Any:
    """An instance of ``params`` from ``values``; every fault in one `InvalidParameters`, named after ``owner``."""
    return _made(*examine(params, values, owner=owner), owner)


def restored(params: type[Any] | None, written: Mapping[str, Any], *, owner: str) -> Any:
    """The instance of ``params`` of which ``written`` are the `plain_values`. Raises as `validate` does."""
    return _made(*_examine(NoParams if params is None else params, written, {}, owner), owner)


def _made(made: Any, faults: Sequence[tuple[str | None, str]], owner: str) -> Any:
    if faults:
        messages = "; ".join(text for _, text in faults)
        raise InvalidParameters(f"{owner}: {messages}", hint=f"see: dataflex describe {owner.split()[-1]}")
    return made


def examine(
    params: type[Any] | None, values: Mapping[str, Any], *, owner: str
) -> tuple[Any, list[tuple[str | None, str]]]:
    """An instance of ``params``, or None and every fault: the parameter, if it is of one, and what is wrong.

    Raises `StrategyFault` where no value could be right, or the author's own checks fail of themselves, which names
    ``owner``.
    """
    kind = NoParams if params is None else params
    return _examine(kind, values, _misnumbered(kind, values), owner)


def _examine(
    params: type[Any], values: Mapping[str, Any], numbers: Mapping[str | None, str], owner: str
) -> tuple[Any, list[tuple[str | None, str]]]:
    """The same, where ``numbers`` are the faults of those: pydantic reads true as 1, and takes infinity for one."""
    import pydantic

    known = [field.name for field in _given(params)]
    faults: list[tuple[str | None, str]] = [(key, _unknown(key, key, known)) for key in values if key not in known]
    given = {key: value for key, value in values.items() if key in known}
    validator, made = adapter(params), None
    faults.extend(numbers.items())
    with named({owner: params}, "as its parameters are checked"):
        try:
            made = validator.validate_python(given)
            faults.extend(_misspelt(made, given))
        except pydantic.ValidationError as error:
            faults.extend((key, text) for key, text in _faults(error) if key not in numbers and (key or not numbers))
        except (ValueError, OverflowError) as error:
            faults.extend([] if numbers else [(None, str(error))])
    return (None if faults else made), faults


def _misspelt(made: Any, given: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """The keys within ``given`` that pydantic, which passes over them, did not need for ``made``."""
    inner: Iterable[tuple[Any, Any, Any]] = ()
    if isinstance(given, Mapping) and is_dataclass(made):
        known = [name for field in _given(type(made)) for name in _names(type(made), field.name)]
        for key in given:
            if key not in known:
                yield where[0], _unknown(".".join((*where, str(key))), str(key), known)
        inner = [(key, getattr(made, key), given[key]) for key in known if key in given and hasattr(made, key)]
    elif isinstance(given, Mapping) and isinstance(made, Mapping) and len(made) == len(given):
        inner = zip(given, made.values(), given.values(), strict=True)
    elif isinstance(given, list | tuple) and isinstance(made, list | tuple) and len(made) == len(given):
        inner = zip(range(len(given)), made, given, strict=True)
    for key, one, of in inner:
        yield from _misspelt(one, of, (*where, str(key)))


def _names(params: type[Any], name: str) -> list[str]:
    """What a field may be called: pydantic's alias, too."""
    metadata = getattr(_hints(params)[name], "__metadata__", ())
    aliases = (getattr(item, alias, None) for item in metadata for alias in ("alias", "validation_alias"))
    return [name, *(alias for alias in aliases if isinstance(alias, str))]


def _unknown(path: str, key: str, known: Sequence[str]) -> str:
    return f"no parameter {path!r} ({did_you_mean(key, known)})"


def _misnumbered(params: type[Any], given: Mapping[str, Any]) -> dict[str | None, str]:
    hints, defaults = _hints(params), {field.name: field.default for field in _given(params)}
    wrong = {
        key: next(misnumbered(hints[key], value, defaults[key]), None)
        for key, value in given.items()
        if key in defaults
    }
    return {key: f"{key}={given[key]!r}: {text}" for key, text in wrong.items() if text is not None}


def adapter(params: type[Any]) -> pydantic.TypeAdapter[Any]:
    """What validates a dataclass. Raises `StrategyFault` where pydantic does not understand one of its types."""
    import pydantic

    _hints(params)  # pydantic itself misses a type that is not known only when it is used
    try:
        return pydantic.TypeAdapter(params)
    except Exception as error:
        raise _unusable(params, error) from error


def json_schema(params: type[Any], *, ref_template: str) -> dict[str, Any]:
    """pydantic's JSON Schema of a dataclass. Raises `StrategyFault` where there is none."""
    validator = adapter(params)
    try:
        return validator.json_schema(ref_template=ref_template)
    except Exception as error:
        raise _unusable(params, error) from error


def _unusable(params: type[Any], error: Exception) -> StrategyFault:
    message = str(error).partition("\n")[0]
    return StrategyFault(
        f"{params.__qualname__} of {params.__module__} is no use for parameters: {type(error).__name__}: {message}",
        hint="give its fields types that pydantic knows, and import them where it is defined",
    )


def _hints(params: type[Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(params, include_extras=True)
    except Exception as error:
        raise _unusable(params, error) from error


def _given(params: type[Any]) -> list[Field[Any]]:
    if not is_dataclass(params):
        raise StrategyFault(f"{params!r} is no dataclass", hint="parameters are the fields of a dataclass")
    return [field for field in fields(params) if field.init]


def _faults(error: Any) -> list[tuple[str | None, str]]:
    # A value that fits no arm of a union is reported once an arm, the arm's name in its place.
    seen: dict[Any, list[Any]] = {}
    for details in error.errors(include_url=False):
        key = (details["loc"][:1], repr(details["input"]))
        seen.setdefault(key, []).append(details)
    found: list[tuple[str | None, str]] = []
    for (path, _), group in seen.items():
        if len(group) > 1:
            messages = " or ".join(map(message_of, group))
            text = f"{path[0]}={group[0]['input']!r}: {messages}"
        else:
            text = _fault(group[0])
        found.append((str(path[0]) if path else None, text))
    return found


def _fault(details: Any) -> str:
    where = ".".join(str(part) for part in details["loc"] if not str(part).startswith("function-"))
    text = message_of(details)
    if details["type"] == "missing":
        return f"{where} is required"
    return f"{where}={details['input']!r}: {text}" if where else text


def _default(params: type[Any], field: Field[Any]) -> Any:
    if field.default_factory is MISSING:
        return field.default
    try:
        return field.default_factory()
    except Exception as error:
        raise StrategyFault(
            f"{params.__qualname__} of {params.__module__} makes no default of {field.name}: {one_line(error)}",
            hint=f"mend {place_of(error, params) or place_of_class(params)}",
        ) from error


def _parameter(field: Field[Any], hint: Any, default: Any) -> Parameter:
    bare = hint
    metadata: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        bare, *rest = get_args(hint)
        metadata = tuple(rest)
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
