"""What can be said about a configuration without importing LLaMA-Factory: every check here costs milliseconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dataflex_core.config.section import SECTION, DataflexConfig
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed, UsageError
from dataflex_core.llamafactory.args import Args, RunArgs
from dataflex_core.llamafactory.datasets.index import index_faults
from dataflex_core.llamafactory.environment import LaunchEnvironment, allows_extra_args
from dataflex_core.llamafactory.files import check_files, is_missing, no_model
from dataflex_core.llamafactory.keys import LAUNCH_KEYS, known_keys
from dataflex_core.llamafactory.model_size import experts_of_folder
from dataflex_core.llamafactory.places import check_places
from dataflex_core.llamafactory.schedulers import settings_of
from dataflex_core.llamafactory.stages import STAGES
from dataflex_core.llamafactory.values import misfit
from dataflex_core.llamafactory.written import is_on, number
from dataflex_core.others_files import json_of
from dataflex_core.spec import Kind, Need, StrategySpec
from dataflex_core.wording import did_you_mean

_UNSLOTH = "use_unsloth"
_OTHER_LOSSES = ("use_dft_loss", "use_asft_loss", "use_eaft_loss", "label_smoothing_factor")
_FSDP = ("fsdp", "fsdp_config")
_NEWER = {
    "group_by_length": "train_sampling_strategy: group_by_length",
    "evaluation_strategy": "eval_strategy",
    "no_cuda": "use_cpu: true",
}
"""Keys that transformers has given other names, which no likeness leads to."""

_OTHER_TRAINERS = ("use_mca", "use_hyper_parallel")

_OURS = frozenset(field.name for field in fields(DataflexConfig))


def check_args(args: Args) -> Iterator[UsageError]:
    """Unknown keys, values they cannot have, no model, no Ray, nowhere to write to, data sets that are not there."""
    known = known_keys()
    if known is not None and not allows_extra_args():
        for key in args:
            if key not in known | LAUNCH_KEYS:
                near = did_you_mean(key, known | {SECTION})
                hint = near if "did you mean" in near else f"keys are LLaMA-Factory's, or go below {SECTION}:"
                if key in _OURS:
                    hint = f"write it below {SECTION}:"
                if _NEWER.get(key, "").partition(":")[0] in known:
                    hint = f"it is {_NEWER[key]} today"
                yield InvalidConfig(f"unknown key {key}", hint=hint, key=[key])
    for key, value in args.items():
        if (wrong := misfit(key, value)) is not None:
            yield InvalidConfig(wrong[0], hint=wrong[1], key=[key])
    if not args.get("model_name_or_path"):
        yield InvalidConfig("model_name_or_path is missing", hint="name the model to train", key=["model_name_or_path"])
    elif isinstance(args["model_name_or_path"], str) and is_missing(args["model_name_or_path"]):
        hint = "name a folder that is there, or a model of the hub"
        yield InvalidConfig(f"{args['model_name_or_path']} does not exist", hint=hint, key=["model_name_or_path"])
    elif (wrong_model := no_model(str(args["model_name_or_path"]))) is not None:
        hint = "name the folder of a model, or a model of the hub"
        yield InvalidConfig(wrong_model, hint=hint, key=["model_name_or_path"])
    yield from _check_schedule(args)
    if "dataset" in args and not args["dataset"] and is_on(args.get("do_train")):
        yield DataError("dataset is empty", hint="name the data sets to train on", key=["dataset"])
    if RunArgs(written=args).uses_ray():
        yield from _check_ray(args)
    yield from check_files(args)
    yield from check_places(args)
    yield from index_faults(args)


def _check_schedule(args: Args) -> Iterator[UsageError]:
    given, schedule = args.get("lr_scheduler_kwargs"), args.get("lr_scheduler_type", "linear")
    known = settings_of(str(schedule))
    if known is None or not isinstance(given, Mapping):
        return
    for name in given:
        if name not in known:
            hint = did_you_mean(str(name), known) if known else "leave it out"
            said = f"lr_scheduler_kwargs has {name!r}, which the schedule {schedule} does not take"
            yield InvalidConfig(said, hint=hint, key=["lr_scheduler_kwargs"])


def blames_stage(fault: UsageError) -> bool:
    """Whether the run's stage itself is at fault: what data it trains on cannot be said then."""
    return tuple(fault.key) == ("stage",)


def check_run(args: Args) -> Iterator[UsageError]:
    """What no strategy works with."""
    stage = args.get("stage", "sft")
    if stage not in tuple(STAGES) and misfit("stage", stage) is None:
        hint = f"use stage {' or '.join(STAGES)}, or no strategy"
        yield UnmetNeed(f"stage {stage} is not supported with a strategy", hint=hint, key=["stage"])
    if not is_on(args.get("do_train")):
        hint = "set do_train: true"
        yield UnmetNeed("do_train is not set: there is nothing to decide about", hint=hint, key=["do_train"])
    if is_on(args.get("streaming")):
        hint = "set streaming: false"
        yield DataError("a streaming data set cannot be selected from or mixed", hint=hint, key=["streaming"])
    if is_on(args.get("auto_find_batch_size")):
        yield UnmetNeed(
            "auto_find_batch_size changes the batch that an interval is planned for",
            hint="set per_device_train_batch_size to what fits",
            key=["auto_find_batch_size"],
        )
    if LaunchEnvironment(variables=os.environ).uses_mca:
        yield UnmetNeed("strategies do not work with USE_MCA=1 in the environment", hint="unset USE_MCA")
    if other := _first(args, _OTHER_TRAINERS):
        yield UnmetNeed(f"strategies do not work with {other}", hint=f"set {other}: false", key=[other])


def check_needs(args: Args, spec: StrategySpec, needs: Set[Need]) -> Iterator[UsageError]:
    """What of its ``needs`` a run with ``args`` does not give to the strategy of ``spec``."""
    said: set[str] = set()
    for need in Need:
        if need in needs and need in _CHECKS:
            for fault in _CHECKS[need](args, spec):
                if fault.message not in said:
                    said.add(fault.message)
                    yield fault


def _unmet(spec: StrategySpec, why: str, *, hint: str, key: str | None = None) -> UnmetNeed:
    """``key`` is the one that stands in the way; None: the strategy asks for too much."""
    return UnmetNeed(
        f"{spec.kind} {spec.name} {why}", hint=hint, key=[key] if key else ["dataflex", spec.kind.value, "name"]
    )


def _needs_losses(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    if is_on(args.get(_UNSLOTH)):
        # Liger's kernels leave the head to whoever does not give them labels; Unsloth compiles it away.
        why = f"needs losses of tokens, and the forward of {_UNSLOTH} gives neither these nor logits"
        yield _unmet(spec, why, hint=f"set {_UNSLOTH}: false; enable_liger_kernel works", key=_UNSLOTH)


def _needs_forwards(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    if (fsdp := _first(args, _FSDP)) and _setting(args, "fsdp_config", "version", "fsdp_version") != "2":
        why = f"needs the model between steps, which the first version of {fsdp} does not give"
        yield _unmet(spec, why, hint="set fsdp_config: {version: 2}", key=fsdp)


def _needs_candidate_losses(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    yield from _needs_losses(args, spec)
    yield from _needs_forwards(args, spec)


def _needs_experts(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    yield from _needs_forwards(args, spec)
    if experts_of_folder(str(args.get("model_name_or_path") or "")) == 0:
        yield is_dense(spec, args["model_name_or_path"])


def is_dense(spec: StrategySpec, model: object) -> UnmetNeed:
    """What to say of a strategy that asks a dense model for its experts."""
    why = f"asks which experts tokens are sent to, and {model} has none"
    return _unmet(spec, why, hint="train a mixture of experts, such as Mixtral or Qwen2-MoE", key="model_name_or_path")


def _needs_generations(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    if fsdp := _first(args, _FSDP):
        why = f"generates, and {fsdp} shards the model that writes"
        yield _unmet(spec, why, hint=f"leave {fsdp} out", key=fsdp)
    stage = args.get("stage", "sft")
    if stage != "sft":
        yield _unmet(spec, f"completes prompts, and stage {stage} has none", hint="use stage sft", key="stage")
    if merging := _first(args, ("packing", "neat_packing", "train_on_prompt")):
        why = f"completes prompts, and {merging} hides where they end"
        yield _unmet(spec, why, hint=f"set {merging}: false", key=merging)


def _needs_training_losses(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    yield from _needs_losses(args, spec)
    packs = args.get("packing") is None or _first(args, ("packing",)) is not None
    if spec.kind is Kind.WEIGHTER and not spec.borderless and args.get("stage") == "pt" and packs:
        why = "weighs samples, and packing in stage pt leaves no borders between them"
        yield _unmet(spec, why, hint="set packing: false, or use a weighter of tokens", key="packing")
    if other := _first(args, _OTHER_LOSSES):
        why = f"weighs the token losses, and {other} replaces them"
        yield _unmet(spec, why, hint=f"leave {other} out", key=other)


def check_domain_losses(args: Args) -> Iterator[UsageError]:
    """What stands in the way of ``loss_by_domain: true``: the loss is then computed token by token."""
    if other := _first(args, (_UNSLOTH, *_OTHER_LOSSES)):
        said = f"loss_by_domain needs the loss of each token, and {other} computes another one"
        yield UnmetNeed(said, hint=f"set it to auto, or leave {other} out", key=["dataflex", "loss_by_domain"])


def check_chunked_losses(args: Args) -> Iterator[UsageError]:
    """What stands in the way of ``chunked_loss: true``."""
    if fsdp := _first(args, _FSDP):
        said = f"chunked_loss calls the model's head by itself, and {fsdp} has its weights only inside a forward"
        hint = "set it to auto, or use DeepSpeed"
        yield UnmetNeed(said, hint=hint, key=["dataflex", "chunked_loss"])


def _needs_gradients(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    yield from _needs_losses(args, spec)
    if fsdp := _first(args, _FSDP):
        why = f"needs per-sample gradients, and {fsdp} shards what they are made of"
        hint = "use DeepSpeed, or plain data parallelism: both work on any number of devices"
        yield _unmet(spec, why, hint=hint, key=fsdp)
    if zero_stage(args) < 3:
        return
    if args.get("finetuning_type", "lora") != "lora":
        why = "needs per-sample gradients, and ZeRO-3 shards the weights that they are of"
        yield _unmet(spec, why, hint="use ZeRO-2, or finetuning_type: lora", key="deepspeed")
    if whole := _first(args, ("use_dora", "additional_target")):
        why = f"needs per-sample gradients, and under ZeRO-3 those of {whole} are out of reach"
        yield _unmet(spec, why, hint=f"use ZeRO-2, or leave {whole} out", key=whole)


def _check_ray(args: Args) -> Iterator[UsageError]:
    if RunArgs(written=args).ray_options is None:
        said = f"ray_init_kwargs is {args['ray_init_kwargs']!r}"
        yield InvalidConfig(said, hint="write ray.init's arguments below it", key=["ray_init_kwargs"])
    elif find_spec("ray") is None:
        yield UnmetNeed("use_ray is set, and Ray is not installed", hint="pip install ray", key=["use_ray"])


def zero_stage(args: Args) -> int:
    """The ZeRO stage of the run's DeepSpeed configuration; 0 without one, or where it cannot be read."""
    stage = _engine_config(args, "deepspeed").get("zero_optimization", {})
    return int(number(stage.get("stage"))) if isinstance(stage, Mapping) else 0


def _setting(args: Args, key: str, *names: str) -> str:
    config = _engine_config(args, key)
    return next((str(config[name]) for name in names if name in config), "")


def _engine_config(args: Args, key: str) -> Mapping[str, Any]:
    """A configuration that is written in the run's own, or in a JSON file; empty where LLaMA-Factory will complain."""
    given: Any = args.get(key)
    try:
        config = json_of(Path(given).read_text(encoding="utf-8")) if isinstance(given, str) else given
    except (OSError, ValueError):
        config = None
    return config if isinstance(config, Mapping) else {}


def _needs_target_set(args: Args, spec: StrategySpec) -> Iterator[UsageError]:
    if is_on(args.get("predict_with_generate")):
        why = "needs the answers of the target set, and predict_with_generate takes them away"
        yield _unmet(spec, why, hint="set predict_with_generate: false", key="predict_with_generate")
    if not args.get("eval_dataset") and not number(args.get("val_size")) > 0 and not args.get("tokenized_path"):
        yield _unmet(spec, "needs a target set, and the run has none", hint="set eval_dataset")


_CHECKS: dict[Need, Callable[[Args, StrategySpec], Iterator[UsageError]]] = {
    Need.LOSSES: _needs_candidate_losses,
    Need.TRAINING_LOSSES: _needs_training_losses,
    Need.GRADIENTS: _needs_gradients,
    Need.EMBEDDINGS: _needs_forwards,
    Need.EXPERT_LOADS: _needs_experts,
    Need.GENERATIONS: _needs_generations,
    Need.TARGET_SET: _needs_target_set,
}


def _first(args: Args, keys: Iterable[str]) -> str | None:
    return next((key for key in keys if is_on(args.get(key))), None)
