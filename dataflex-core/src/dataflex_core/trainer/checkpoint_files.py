"""What a checkpoint carries beside the model's own files: ``checkpoint-N/dataflex/``, as JSON and safetensors.

The folder is written before the model's files, under another name until it is whole; a seal that lists every file of
the checkpoint with its size is written last. A checkpoint without a seal, or with other files than it lists, is torn.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dataflex_core.errors import DataError, StrategyFault
from dataflex_core.journal.reader import run_of

FORMAT = 2
FOLDER = "dataflex"
NO_STATE = "has no state of DataFlex"
NO_OPTIMIZER = "has no optimizer state (save_only_model)"
TRAINER = "trainer_state.json"
_OPTIMIZER = ("optimizer", "global_step", "pytorch_model_fsdp")
_STATE, _ARRAYS, _SEAL = "state.json", "arrays.safetensors", "seal.json"
_ARRAY = "$array"


def write_state(checkpoint: Path, state: Mapping[str, Any]) -> None:
    """Write ``state``, JSON values and numpy arrays in any nesting, to ``checkpoint/dataflex``, whole or not at all.

    Raises `StrategyFault` for a value that is neither.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    text = json.dumps({"format": FORMAT, "state": _packed(state, "state", arrays)}, indent=1)
    final, temporary = checkpoint / FOLDER, checkpoint / f"{FOLDER}.tmp"
    for folder in (final, temporary):
        shutil.rmtree(folder, ignore_errors=True)
    temporary.mkdir(parents=True)
    (temporary / _STATE).write_text(text, encoding="utf-8")
    save_file(arrays, temporary / _ARRAYS)
    os.replace(temporary, final)


def writable(state: Any) -> Any:
    """``state``, which `write_state` can write. Raises `StrategyFault` where it cannot."""
    if not isinstance(state, Mapping):
        raise StrategyFault(f"its state is a {type(state).__name__}", hint="give a dictionary, empty for no state")
    _packed(state, "its state", {})
    return state


def seal(checkpoint: Path) -> None:
    """List every file of a checkpoint with its size, once all are written: without the list it counts as torn."""
    listed = {str(path.relative_to(checkpoint)): path.stat().st_size for path in _files(checkpoint)}
    temporary = checkpoint / FOLDER / f"{_SEAL}.tmp"
    temporary.write_text(json.dumps(listed, indent=1), encoding="utf-8")
    os.replace(temporary, checkpoint / FOLDER / _SEAL)


def read_state(checkpoint: Path) -> dict[str, Any]:
    """What `write_state` wrote. Raises `DataError` where the checkpoint is torn, or of another format."""
    _check_format(checkpoint)
    if (wrong := what_is_torn(checkpoint)) is not None:
        raise DataError(f"{checkpoint} {wrong}", hint="resume from another one")
    return stored_state(checkpoint)


def stored_state(checkpoint: Path) -> dict[str, Any]:
    """What `write_state` wrote, whatever else the checkpoint has. Raises `DataError` where it cannot be read."""
    folder = checkpoint / FOLDER
    _check_format(checkpoint)
    try:
        read = _read(checkpoint)
        arrays = load_file(folder / _ARRAYS)
        state: dict[str, Any] = _unpacked(read["state"], arrays)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{checkpoint} cannot be read: {error}", hint="resume from another one") from error
    return state


def what_bars(checkpoint: Path) -> str | None:
    """Why no run of this version can go on from a checkpoint, or None: another format, or what is torn."""
    return _other_format(checkpoint) or what_is_torn(checkpoint)


def what_is_torn(checkpoint: Path) -> str | None:
    """How a checkpoint is incomplete, or None."""
    if not (checkpoint / FOLDER).is_dir():
        return NO_STATE
    try:
        listed: dict[str, int] = dict(json.loads((checkpoint / FOLDER / _SEAL).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return "is not complete"
    except (OSError, ValueError, TypeError):
        return "has an unreadable seal"
    if f"{FOLDER}/{_STATE}" not in listed:
        return "has an unreadable seal"
    for name, size in listed.items():
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size != size:
            return f"has lost {name}" if not path.is_file() else f"has a torn {name}"
    if TRAINER not in listed or not any(name.startswith(_OPTIMIZER) for name in listed):
        return NO_OPTIMIZER
    try:
        _read(checkpoint)
    except (OSError, ValueError):
        return f"has an unreadable {FOLDER}/{_STATE}"
    return None


def step_of(checkpoint: Path) -> int:
    """The step after which transformers took a checkpoint, whoever asked for it.

    Raises `DataError` where it is none, or was not written whole as far as that can be told.
    """
    wrong = what_is_torn(checkpoint)
    if wrong is None or wrong in (NO_STATE, NO_OPTIMIZER):
        try:
            return int(json.loads((checkpoint / TRAINER).read_text(encoding="utf-8"))["global_step"])
        except FileNotFoundError:
            wrong = f"is no checkpoint: it has no {TRAINER}" if checkpoint.is_dir() else "does not exist"
        except (OSError, ValueError, KeyError, TypeError):
            wrong = f"has an unreadable {TRAINER}"
    raise DataError(f"{checkpoint} {wrong}", hint="name a checkpoint-N folder of a run")


def has_optimizer(checkpoint: Path) -> bool:
    """Whether the optimizer's state is in a checkpoint."""
    return any(path.name.startswith(_OPTIMIZER) for path in checkpoint.iterdir())


def checkpoints(output: Path) -> list[Path]:
    """The checkpoints of an output folder, newest first."""
    found = [
        (int(match[1]), path) for path in output.glob("checkpoint-*") if (match := _number(path)) and path.is_dir()
    ]
    return [path for _, path in sorted(found, reverse=True)]


def newest_complete(output: Path, notice: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that is whole, of this version's format and of the run that the folder's journal is of.

    Each newer one is passed over with a line.
    """
    journal = output / "dataflex" / "journal.jsonl"
    run = run_of(journal) if journal.is_file() else None
    for path in checkpoints(output):
        wrong = what_bars(path)
        if wrong is None and journal.is_file() and _read(path)["state"].get("run") != run:
            wrong = "is of an earlier run"
        if wrong is None:
            return path
        notice(f"{path} {wrong}: passed over")
    return None


def _read(checkpoint: Path) -> dict[str, Any]:
    read: dict[str, Any] = dict(json.loads((checkpoint / FOLDER / _STATE).read_text(encoding="utf-8")))
    return read


def _other_format(checkpoint: Path) -> str | None:
    """That a checkpoint is of another format than `FORMAT`, or None, also where it does not say of which."""
    try:
        written = _read(checkpoint)["format"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return None if written == FORMAT else f"was written in format {written}, this version reads {FORMAT}"


def _check_format(checkpoint: Path) -> None:
    if (other := _other_format(checkpoint)) is not None:
        raise DataError(f"{checkpoint} {other}", hint="resume with the version that wrote it")


def _number(path: Path) -> re.Match[str] | None:
    return re.fullmatch(r"checkpoint-(\d+)", path.name)


def _files(checkpoint: Path) -> Iterator[Path]:
    return (path for path in sorted(checkpoint.rglob("*")) if path.is_file() and not path.name.startswith(_SEAL))


def _packed(value: Any, where: str, arrays: dict[str, NDArray[np.generic]]) -> Any:
    """``value`` as JSON, with its arrays moved to ``arrays``."""
    if isinstance(value, np.ndarray):
        if isinstance(value, np.ma.MaskedArray):
            raise StrategyFault(f"{where} is a masked array", hint="give its numbers and its mask, an array each")
        if not _is_number(value.dtype):
            kind = "objects" if value.dtype == object else str(value.dtype)
            raise StrategyFault(f"{where} is an array of {kind}", hint="give an array of numbers, of 64 bits at most")
        name = str(len(arrays))
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {_ARRAY: name}
    if isinstance(value, np.generic) and _is_number(value.dtype):
        return value.item()
    if isinstance(value, Mapping):
        if odd := [key for key in value if not isinstance(key, str)]:
            raise StrategyFault(f"{where} has the key {odd[0]!r}, which is no text", hint="make its keys strings")
        if _ARRAY in value:
            raise StrategyFault(f"{where} has the key {_ARRAY!r}, which stands for arrays", hint="call it otherwise")
        return {key: _packed(item, f"{where}.{key}", arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item, f"{where}.{index}", arrays) for index, item in enumerate(value)]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise StrategyFault(f"{where} is a {type(value).__name__}", hint="give JSON values and numpy arrays")


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf" and dtype.itemsize <= 8


def _unpacked(value: Any, arrays: Mapping[str, NDArray[np.generic]]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return arrays[value[_ARRAY]]
        return {key: _unpacked(item, arrays) for key, item in value.items()}
    return [_unpacked(item, arrays) for item in value] if isinstance(value, list) else value
