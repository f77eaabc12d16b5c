"""What can be said about a configuration without importing LLaMA-Factory: every check here costs milliseconds."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed, did_you_mean
from dataflex_core.llamafactory.keys import LAUNCH_KEYS, known_keys
from dataflex_core.spec import Need, StrategySpec

Args = Mapping[str, Any]

STAGES = ("sft", "pt")
_FUSED = ("enable_liger_kernel", "use_unsloth")
_OTHER_LOSSES = ("use_dft_loss", "use_asft_loss", "use_eaft_loss", "label_smoothing_factor")
_FSDP = ("fsdp", "fsdp_config")
_OTHER_TRAINERS = ("use_mca", "use_hyper_parallel")


def check_args(args: Args) -> None:
    """Keys that LLaMA-Factory does not know, and data sets that are not there.

    Raises `InvalidConfig` or `DataError`, with every unknown key in one line.
    """
    known = known_keys()
    if known is not None and not _is_on(os.environ.get("ALLOW_EXTRA_ARGS")):
        unknown = [f"{key} ({did_you_mean(key, known)})" for key in args if key not in known | LAUNCH_KEYS]
        if unknown and all("did you mean" in text for text in unknown):
            raise InvalidConfig(f"unknown key {'; '.join(unknown)}")
        if unknown:
            names = "; ".join(text if "did you mean" in text else text.split(" (")[0] for text in unknown)
            raise InvalidConfig(f"unknown key {names}", hint="keys are LLaMA-Factory's, or go below dataflex:")
    if not args.get("model_name_or_path"):
        raise InvalidConfig("model_name_or_path is missing", hint="name the model to train")
    for key in ("dataset", "eval_dataset"):
        _check_datasets(args, key)


def check_run(args: Args) -> None:
    """What no strategy works with. Raises `InvalidConfig`, `DataError` or `UnmetNeed`."""
    stage = args.get("stage", "sft")
    if stage not in STAGES:
        raise UnmetNeed(
            f"stage {stage} is not supported with a strategy", hint=f"use stage {' or '.join(STAGES)}, or no strategy"
        )
    if not _is_on(args.get("do_train")):
        raise UnmetNeed("do_train is not set: there is nothing to decide about", hint="set do_train: true")
    if _is_on(args.get("streaming")):
        raise DataError("a streaming data set cannot be selected from or mixed", hint="set streaming: false")
    if _is_on(args.get("auto_find_batch_size")):
        raise UnmetNeed(
            "auto_find_batch_size changes the batch that an interval is planned for",
            hint="set per_device_train_batch_size to what fits",
        )
    if other := _first(args, _OTHER_TRAINERS):
        raise UnmetNeed(f"strategies do not work with {other}", hint=f"set {other}: false")


def check_needs(args: Args, spec: StrategySpec) -> None:
    """Whether a run with ``args`` gives what ``spec`` declares. Raises `UnmetNeed` with the first thing it does not."""
    for need in Need:
        if need in spec.needs and need in _CHECKS:
            _CHECKS[need](args, f"{spec.kind} {spec.name}")


def _needs_losses(args: Args, who: str) -> None:
    if fused := _first(args, _FUSED):
        raise UnmetNeed(f"{who} needs per-sample losses, and {fused} computes a fused one", hint=f"set {fused}: false")


def _needs_forwards(args: Args, who: str) -> None:
    if (fsdp := _first(args, _FSDP)) and _setting(args, "fsdp_config", "version", "fsdp_version") != "2":
        raise UnmetNeed(
            f"{who} needs the model between steps, which the first version of {fsdp} does not give",
            hint="set fsdp_config: {version: 2}",
        )


def _needs_candidate_losses(args: Args, who: str) -> None:
    _needs_losses(args, who)
    _needs_forwards(args, who)


def _needs_generations(args: Args, who: str) -> None:
    if fsdp := _first(args, _FSDP):
        raise UnmetNeed(f"{who} generates, and {fsdp} shards the model that writes", hint=f"leave {fsdp} out")
    stage = args.get("stage", "sft")
    if stage != "sft":
        raise UnmetNeed(f"{who} completes prompts, and stage {stage} has none", hint="use stage sft")
    if merging := _first(args, ("packing", "neat_packing", "train_on_prompt")):
        raise UnmetNeed(f"{who} completes prompts, and {merging} hides where they end", hint=f"set {merging}: false")


def _needs_training_losses(args: Args, who: str) -> None:
    _needs_losses(args, who)
    if other := _first(args, _OTHER_LOSSES):
        raise UnmetNeed(f"{who} weighs the token losses, and {other} replaces them", hint=f"leave {other} out")


def _needs_gradients(args: Args, who: str) -> None:
    _needs_losses(args, who)
    if fsdp := _first(args, _FSDP):
        raise UnmetNeed(
            f"{who} needs per-sample gradients, and {fsdp} shards what they are made of",
            hint="use DeepSpeed, or plain data parallelism: both work on any number of devices",
        )
    if zero_stage(args) < 3:
        return
    if args.get("finetuning_type", "lora") != "lora":
        raise UnmetNeed(
            f"{who} needs per-sample gradients, and ZeRO-3 shards the weights that they are of",
            hint="use ZeRO-2, or finetuning_type: lora",
        )
    if whole := _first(args, ("use_dora", "additional_target")):
        raise UnmetNeed(
            f"{who} needs per-sample gradients, and under ZeRO-3 those of {whole} are out of reach",
            hint=f"use ZeRO-2, or leave {whole} out",
        )


def uses_ray(args: Args, env: Mapping[str, str] = os.environ) -> bool:
    """Whether the run asks for Ray workers: by ``use_ray``, else by LLaMA-Factory's environment variable."""
    return _is_on(args.get("use_ray", env.get("USE_RAY")))


def zero_stage(args: Args) -> int:
    """The ZeRO stage of the run's DeepSpeed configuration; 0 without one, or where it cannot be read."""
    stage = _engine_config(args, "deepspeed").get("zero_optimization", {})
    return int(_number(stage.get("stage"))) if isinstance(stage, Mapping) else 0


def _setting(args: Args, key: str, *names: str) -> str:
    config = _engine_config(args, key)
    return next((str(config[name]) for name in names if name in config), "")


def _engine_config(args: Args, key: str) -> Mapping[str, Any]:
    """A configuration that is written in the run's own, or in a JSON file; empty where LLaMA-Factory will complain."""
    given: Any = args.get(key)
    try:
        config = json.loads(Path(given).read_text(encoding="utf-8")) if isinstance(given, str) else given
    except (OSError, ValueError):
        config = None
    return config if isinstance(config, Mapping) else {}


def _needs_target_set(args: Args, who: str) -> None:
    if _is_on(args.get("predict_with_generate")):
        raise UnmetNeed(
            f"{who} needs the answers of the target set, and predict_with_generate takes them away",
            hint="set predict_with_generate: false",
        )
    if not args.get("eval_dataset") and not _number(args.get("val_size")) > 0 and not args.get("tokenized_path"):
        raise UnmetNeed(f"{who} needs a target set, and the run has none", hint="set eval_dataset")


_CHECKS: dict[Need, Callable[[Args, str], None]] = {
    Need.LOSSES: _needs_candidate_losses,
    Need.TRAINING_LOSSES: _needs_training_losses,
    Need.GRADIENTS: _needs_gradients,
    Need.EMBEDDINGS: _needs_forwards,
    Need.GENERATIONS: _needs_generations,
    Need.TARGET_SET: _needs_target_set,
}


def dataset_names(value: object) -> list[str]:
    """The names in ``dataset`` or ``eval_dataset``: a list, or text with commas."""
    items: Iterable[object] = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return list(dict.fromkeys(str(item).strip() for item in items))


def _check_datasets(args: Args, key: str) -> None:
    names = dataset_names(args.get(key))
    folder = args.get("dataset_dir", "data")
    tokenized = args.get("tokenized_path")
    if not names or not isinstance(folder, str) or folder == "ONLINE" or folder.startswith("REMOTE:"):
        return
    if tokenized and Path(str(tokenized)).is_dir() and any(Path(str(tokenized)).iterdir()):
        return
    index = Path(folder) / "dataset_info.json"
    try:
        known = json.loads(index.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{index} does not exist", hint="point dataset_dir at the folder that holds it") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{index} cannot be read: {error}") from None
    for name in names:
        if name not in known:
            raise DataError(f"{key} {name!r} is not in {index}", hint=did_you_mean(name, known))
        file = known[name].get("file_name") if isinstance(known[name], dict) else None
        if file is not None and not _elsewhere(known[name]) and not (Path(folder) / file).exists():
            raise DataError(f"{key} {name!r}: {Path(folder) / file} does not exist", hint=f"see {index}")


def _elsewhere(entry: Mapping[str, Any]) -> bool:
    return any(key in entry for key in ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name"))


def _first(args: Args, keys: Iterable[str]) -> str | None:
    return next((key for key in keys if _is_on(args.get(key))), None)


def _is_on(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in {"", "0", "0.0", "false", "no", "none", "n", "f"}
    return bool(value)


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0
