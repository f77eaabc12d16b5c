"""Several weighters in one configuration: a list, of which overrides name one by its position, from 0."""

from __future__ import annotations

import re
from typing import Any

from dataflex_core.config.positions import Key
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind

_KEY = ("dataflex", Kind.WEIGHTER.value)


def by_position(written: Any) -> Any:
    """A list of several as a mapping by position, which overrides of single keys can be laid over; one as itself."""
    if not isinstance(written, list) or not written:
        return written
    spelt = [{"name": item} if isinstance(item, str) else item for item in written]
    if len(spelt) == 1 and isinstance(spelt[0], dict):
        return spelt[0]
    return {str(position): item for position, item in enumerate(spelt)}


def has_several(written: Any) -> bool:
    """Whether it is a mapping by position."""
    return isinstance(written, dict) and any(str(key).isdecimal() for key in written)


def listed(written: Any) -> Any:
    """What `by_position` made, overrides laid over it, as a list again; one weighter as itself.

    Raises `InvalidConfig` for positions that nothing stands at, and for a key that could be of any of several.
    """
    if not has_several(written):
        return written
    placed = {int(key): value for key, value in written.items() if str(key).isdecimal()}
    of_one = {key: value for key, value in written.items() if not str(key).isdecimal()}
    if "name" in of_one:  # one that is written without a position: it stands at 0
        _check(max(placed), 1, dotted((*_KEY, max(placed))))
        return {**of_one, **placed[0]}
    if of_one:
        parameter = next(iter(of_one))
        position_in(Kind.WEIGHTER, len(placed), parameter, dotted((*_KEY, parameter)))
    count = next(position for position in range(len(placed) + 1) if position not in placed)
    _check(max(placed), count, dotted((*_KEY, max(placed))))
    made = [placed[position] for position in range(count)]
    return {**made[0], **of_one} if count == 1 else made


def position_in(kind: str, count: int, rest: str, where: str) -> tuple[int, str]:
    """The position that ``rest`` begins with, and what follows; 0 where there is one strategy and none is given.

    Raises `InvalidConfig`, which begins with ``where``, where nothing is at that position, or several could be meant.
    """
    match = re.match(r"(\d+)\.(.+)", rest, flags=re.DOTALL) if kind == Kind.WEIGHTER else None
    if match is not None:
        _check(int(match[1]), count, where)
        return int(match[1]), match[2]
    if count > 1:
        wanted = f"{kind}.0.{rest.partition('=')[0]}"
        raise InvalidConfig(f"{where}: the run has {count} {kind}s", hint=f"say which by its position: {wanted}")
    return 0, rest


def dotted(key: Key) -> str:
    """A key as it is written."""
    return ".".join(map(str, key))


def _check(position: int, count: int, where: str) -> None:
    if position >= count:
        has = "one weighter" if count == 1 else f"{count} weighters"
        raise InvalidConfig(f"{where}: the run has {has}", hint="positions count from 0", key=_KEY)
