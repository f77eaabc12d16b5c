"""Where a run goes on from: the newest whole checkpoint, the one that was named, or the beginning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataflex_core.config.section import RunConfig
from dataflex_core.errors import InvalidConfig
from dataflex_core.llamafactory.args import OVERWRITE, RESUME, RunArgs
from dataflex_core.llamafactory.files import named_checkpoint, no_checkpoint
from dataflex_core.trainer.checkpoint_files import checkpoints, newest_complete, what_bars


def resolved(config: RunConfig, notice: Callable[[str], None]) -> RunConfig:
    """The configuration with the checkpoint to go on from, if any, named by its path.

    ``resume_from_checkpoint: true`` is the newest whole one of ``output_dir``, or the beginning where there is none. So
    is an ``output_dir`` that holds checkpoints and is not to be overwritten, as LLaMA-Factory has it; ``false`` is the
    beginning. Torn checkpoints
    are passed over with a ``notice``. Raises `InvalidConfig` for a path that cannot be gone on from.
    """
    args, output = config.args, RunArgs(written=config.args).output
    if (named := named_checkpoint(args)) is not None:
        _check(args, Path(named), bool(config.dataflex.active))
        return config
    asked = str(args.get(RESUME)).strip().lower()
    if asked == "true":
        return _newest(config, output, notice)
    if RESUME in args:  # written as text, false would be taken for a folder
        args = {key: value for key, value in args.items() if key != RESUME}
        if asked == "false":
            args[OVERWRITE] = True
        config = replace(config, args=args)
    overwrites = str(args.get(OVERWRITE, False)).strip().lower() in {"true", "1", "yes"}
    if config.dataflex.active and not overwrites and checkpoints(output):
        notice(f"{output} holds checkpoints: the run goes on (overwrite_output_dir: true starts it anew)")
        return _newest(config, output, notice)
    return config


def _newest(config: RunConfig, output: Path, notice: Callable[[str], None]) -> RunConfig:
    if config.dataflex.active:
        found = newest_complete(output, notice)
    else:
        found = next((path for path in checkpoints(output) if (path / "trainer_state.json").is_file()), None)
    args: dict[str, Any] = {key: value for key, value in config.args.items() if key != RESUME}
    if found is None:
        why = " (save_strategy: no writes none)" if str(args.get("save_strategy")) in {"no", "False"} else ""
        notice(f"no checkpoint to go on from in {output}: the run starts from the beginning{why}")
        args[OVERWRITE] = True
    else:
        args[RESUME] = str(found)
    return replace(config, args=args)


def _check(args: Mapping[str, Any], path: Path, strict: bool) -> None:
    if (wrong := no_checkpoint(args)) is not None:
        hint = "name a checkpoint-N folder, or use --resume"
        raise InvalidConfig(f"{RESUME}: {wrong}", hint=hint, key=[RESUME])
    if strict and (wrong := what_bars(path)) is not None:
        hint = "name another one; --resume takes the newest whole one"
        raise InvalidConfig(f"{RESUME}: {path} {wrong}", hint=hint, key=[RESUME])


def asked_to_resume(config: RunConfig) -> RunConfig:
    """The configuration of a run that is to go on from the newest checkpoint of its ``output_dir``, if there is one.

    Raises `InvalidConfig` where it names another one to go on from.
    """
    if (named := named_checkpoint(config.args)) is not None:
        raise InvalidConfig(
            f"--resume goes on from the newest checkpoint, and {RESUME} is {named}",
            hint=f"leave out --resume, or {RESUME}",
            key=[RESUME],
        )
    return replace(config, args={**config.args, RESUME: True})


def is_resumed(args: Mapping[str, Any]) -> bool:
    """Whether a resolved configuration goes on from a checkpoint."""
    return args.get(RESUME) not in (None, False, "")
