"""Fault points: where a run is to die, as text that travels in an environment variable, and how it comes to.

The product knows nothing of them: `arm` patches it, or the library that it calls, in the process that is to suffer.
A point is ``name:argument:…``; each function of this module that `_point` decorates is one, and its docstring says
when. ``VERB@point`` does something else there than kill: ``term@`` sends SIGTERM, ``int@`` SIGINT, ``parent@`` sends
SIGTERM to the parent, which is torchrun, ``full@`` is a full disk.
"""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

VARIABLE = "FAULTS_POINT"

Act = Callable[[], None]
Arm = Callable[..., None]
POINTS: dict[str, Arm] = {}


def arm(text: str) -> None:
    """Make this process suffer at the point that ``text`` names."""
    verb, _, point = text.rpartition("@")
    name, *arguments = point.split(":")
    POINTS[name](_VERBS[verb], *arguments)


def arm_from_environment() -> None:
    """As `arm`, where the variable names a point; ``rank=N/`` before it is for that rank alone."""
    text = os.environ.get(VARIABLE, "")
    rank, _, point = text.rpartition("/")
    if point and rank in ("", f"rank={os.environ.get('RANK', '0')}"):
        arm(point)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _terminate_parent() -> None:
    os.kill(os.getppid(), signal.SIGTERM)


def _full() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_VERBS: dict[str, Act] = {"": _die, "term": _terminate, "int": _interrupt, "parent": _terminate_parent, "full": _full}


def _point(function: Arm) -> Arm:
    POINTS[function.__name__.strip("_").replace("_", "-")] = function
    return function


class _Count:
    """Says when something happens for the ``number``-th time."""

    def __init__(self, number: str) -> None:
        self.left = int(number)

    def is_now(self) -> bool:
        self.left -= 1
        return self.left == 0


def _around(owner: Any, name: str, *, before: Callable[..., None] | None = None, after: Any = None) -> None:
    """Call ``before`` and ``after`` with the arguments of ``owner.name``, around it."""
    original = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args, **kwargs)
        result = original(*args, **kwargs)
        if after is not None:
            after(*args, **kwargs)
        return result

    setattr(owner, name, wrapped)


@_point
def step(act: Act, number: str) -> None:
    """Optimizer step N is done and journalled."""
    from dataflex_core.trainer.base import FlexTrainer

    _around(FlexTrainer, "finish_step", after=lambda self: act() if self.state.global_step == int(number) else None)


@_point
def gradient(act: Act, number: str) -> None:
    """The gradients of step N are there, the step is not taken."""
    from dataflex_core.trainer.base import FlexTrainer

    def after(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.state.global_step == int(number) - 1:
            act()

    _around(FlexTrainer, "training_step", after=after)


@_point
def batch(act: Act, number: str) -> None:
    """The N-th batch of signals is computed, whatever the pass."""
    from dataflex_core.scoring.attempts import Attempts

    count = _Count(number)
    _around(Attempts, "make", after=lambda *args, **kwargs: act() if count.is_now() else None)


@_point
def decided(act: Act, number: str) -> None:
    """The N-th decision is taken and journalled, and not trained on yet."""
    from dataflex_core.trainer.planned import PlannedTrainer

    count = _Count(number)
    _around(PlannedTrainer, "_record", after=lambda *args: act() if count.is_now() else None)


@_point
def state(act: Act, number: str) -> None:
    """Our state of checkpoint N is written, the model's files are not."""
    from dataflex_core.trainer import checkpoints

    _around(checkpoints, "write_state", after=lambda where, _: act() if where.name == f"checkpoint-{number}" else None)


@_point
def unsealed(act: Act, number: str) -> None:
    """All of checkpoint N is written but the seal."""
    from dataflex_core.trainer import checkpoints

    _around(checkpoints, "seal", before=lambda where: act() if where.name == f"checkpoint-{number}" else None)


@_point
def sealed(act: Act, number: str) -> None:
    """Checkpoint N is sealed, the older ones are still there."""
    from dataflex_core.trainer import checkpoints

    _around(checkpoints, "seal", after=lambda where: act() if where.name == f"checkpoint-{number}" else None)


@_point
def rotated(act: Act, number: str) -> None:
    """The N-th checkpoint that makes older ones superfluous has deleted them."""
    from dataflex_core.trainer import rotation

    count = _Count(number)

    def after(path: Any, *args: Any, **kwargs: Any) -> None:
        if Path(path).name.startswith("checkpoint-") and count.is_now():
            act()

    _shadow_rmtree(rotation, after)


@_point
def rotating(act: Act, number: str) -> None:
    """Half the files of the N-th checkpoint that is deleted are gone."""
    from dataflex_core.trainer import rotation

    count = _Count(number)

    def before(path: Any, *args: Any, **kwargs: Any) -> None:
        if Path(path).name.startswith("checkpoint-") and count.is_now():
            files = sorted(file for file in Path(path).rglob("*") if file.is_file())
            for file in files[::2]:
                file.unlink()
            act()

    _shadow_rmtree(rotation, before, first=True)


def _shadow_rmtree(module: Any, told: Callable[..., None], *, first: bool = False) -> None:
    """Tell of the directory trees that ``module`` removes, and of nobody else's."""
    import shutil
    from types import SimpleNamespace

    shadow = SimpleNamespace(**vars(shutil))
    _around(shadow, "rmtree", **{"before" if first else "after": told})
    module.shutil = shadow


@_point
def half(act: Act, name: str, number: str) -> None:
    """Half of file NAME is written, for the N-th time; ``*SUFFIX`` is any name that ends so."""
    import torch
    from peft import peft_model
    from transformers import TrainerState

    from dataflex_core.scoring import partial
    from dataflex_core.trainer import checkpoint_files as checkpoint

    count = _Count(number)

    def tear(path: Any) -> None:
        if not isinstance(path, str | os.PathLike):
            return
        file = Path(path)
        if (file.name.endswith(name[1:]) if name.startswith("*") else file.name == name) and count.is_now():
            os.truncate(file, file.stat().st_size // 2)
            act()

    _around(torch, "save", after=lambda thing, where, *args, **kwargs: tear(where))
    _around(TrainerState, "save_to_json", after=lambda self, where: tear(where))
    for method in ("write_text", "write_bytes"):
        _around(Path, method, after=lambda self, *args, **kwargs: tear(self))
    for module, function in ((peft_model, "safe_save_file"), (checkpoint, "save_file"), (partial, "save_file")):
        _around(module, function, after=lambda tensors, where, *args, **kwargs: tear(where))


@_point
def stored(act: Act, number: str) -> None:
    """Half of what is written to the store for the N-th time is written: a file's head, or a block of answers."""
    from types import SimpleNamespace

    from dataflex_core.scoring import answer_files

    count = _Count(number)

    def write(file: int, data: memoryview) -> int:
        if count.is_now():
            os.write(file, data[: len(data) // 2])
            act()
        return os.write(file, data)

    answer_files.os = SimpleNamespace(**{**vars(os), "write": write})  # type: ignore[assignment]  # a shadow


@_point
def line(act: Act, number: str) -> None:
    """Half of the journal's N-th line is written."""
    from dataflex_core.journal import Event, to_record
    from dataflex_core.journal.writer import Journal

    count = _Count(number)

    def before(self: Any, event: Event) -> None:
        if count.is_now():
            text = json.dumps(to_record(event))
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text[: len(text) // 2])
            act()

    _around(Journal, "write", before=before)


@_point
def trained(act: Act) -> None:
    """All steps are done, and journalled to the end; the model is not saved."""
    from dataflex_core.trainer.base import FlexTrainer

    _around(FlexTrainer, "finish", after=lambda self: act())
