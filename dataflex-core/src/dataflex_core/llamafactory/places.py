"""Where a run would write, by the arguments that say so, and whether it can."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.llamafactory.args import Args
from dataflex_core.llamafactory.written import is_on
from dataflex_core.places import barrier

_OUTPUT, _TOKENIZED = "output_dir", "tokenized_path"
_DATASETS, _HOME = "HF_DATASETS_CACHE", "HF_HOME"
# Folders, and the switch without which nothing is written there.
_FOLDERS: Mapping[str, str | None] = {
    _OUTPUT: None,
    _TOKENIZED: None,
    "logging_dir": None,
    "cache_dir": None,
    "profiler_output_dir": "enable_torch_profiler",
    "swanlab_logdir": "use_swanlab",
}


def check_places(args: Args, env: Mapping[str, str] = os.environ) -> Iterator[UsageError]:
    """Folders that cannot be written to, of the keys that name one and of the variables that name a cache."""
    for key, switch in _FOLDERS.items():
        given = args.get(key)
        if given is None and key == _OUTPUT and key in args:
            given = ""  # who writes nothing behind it would find the run in a folder called trainer_output
        if given is None or isinstance(given, bool) or (switch is not None and not is_on(args.get(switch))):
            continue
        if not isinstance(given, str):
            yield InvalidConfig(f"{key}: {given!r} is no path", hint="write one folder", key=[key])
            continue
        for place in _places(key, given):
            if (wrong := barrier(place)) is not None:
                hint = f"name a folder that is there and may be written to, or one that can be made, as {key}"
                yield InvalidConfig(
                    f"{key}: {place} {wrong}" if place.strip() else f"{key} {wrong}", hint=hint, key=[key]
                )
                break
    variable = next((name for name in (_DATASETS, _HOME) if env.get(name)), None)
    if variable is None or args.get("cache_dir") is not None or _holds_something(args.get(_TOKENIZED)):
        return
    cache = env[variable] if variable == _DATASETS else f"{env[variable]}/datasets"
    if (wrong := barrier(cache)) is not None:
        hint = f"point {variable} at a folder that may be written to"
        yield InvalidConfig(f"data sets are cached in {cache} ({variable}), which {wrong}", hint=hint)


def _places(key: str, place: str) -> tuple[str, ...]:
    """The folders that are written because ``key`` is ``place``, in the order in which they are made."""
    if not place.strip():
        return (place,)
    if key == _OUTPUT:
        return place, str(Path(place) / "dataflex")
    if key == _TOKENIZED:
        # Beside it each domain is saved; what is there already is read.
        return tuple(each for each in (place, f"{Path(place)}-dataflex") if not _holds_something(each))
    return (place,)


def _holds_something(folder: object) -> bool:
    path = Path(str(folder))
    return folder is not None and path.is_dir() and any(path.iterdir())
