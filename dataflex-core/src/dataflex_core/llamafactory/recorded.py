"""Which of LLaMA-Factory's arguments a journal records: those that change what is learnt, but for chance."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from dataflex_core.llamafactory.args import PLACES, Args, listed_names

_CHANCE = {"seed", "data_seed", "full_determinism"}
_FOLDERS = {
    *PLACES, "adapter_folder", "cache_dir", "data_shared_file_system", "dataset_dir", "media_dir", "offload_folder",
    "overwrite_cache", "tokenized_path",
}  # fmt: skip
_OTHERWISE = {
    "dataset", "gradient_accumulation_steps", "max_steps", "model_name_or_path", "num_train_epochs",
    "per_device_train_batch_size",
}  # fmt: skip
"""Told by the journal in other words: the model, the pool, samples a step, steps."""
_MACHINE = {
    "accelerator_config", "auto_find_batch_size", "deepspeed", "disable_gradient_checkpointing", "fsdp", "fsdp_config",
    "gradient_checkpointing", "gradient_checkpointing_kwargs", "hyper_parallel_args", "ignore_data_skip", "local_rank",
    "low_cpu_mem_usage", "master_addr", "master_port", "parallelism_config", "remove_unused_columns",
    "torch_empty_cache_steps", "trust_remote_code", "use_cpu", "use_ray", "use_reentrant_gc", "use_unsloth_gc",
}  # fmt: skip
_TOLD = {
    "compute_accuracy", "debug", "disable_tqdm", "do_eval", "do_predict", "do_train", "enable_jit_checkpoint",
    "enable_torch_profiler", "greater_is_better", "load_best_model_at_end", "per_device_eval_batch_size", "plot_loss",
    "predict_with_generate", "prediction_loss_only", "print_param_status", "profile_modules", "project", "push_to_hub",
    "report_to", "run_name", "skip_memory_metrics", "use_swanlab",
}  # fmt: skip
_INDIFFERENT = _CHANCE | _FOLDERS | _OTHERWISE | _MACHINE | _TOLD
_BEGINNINGS = (
    "batch_eval", "dataloader_", "ddp_", "eval_", "export_", "generation_", "hub_", "include_", "infer_", "log_",
    "logging_", "metric_", "preprocessing_", "profiler_", "ray_", "restore_", "save_", "sglang_", "swanlab_",
    "torch_compile", "trackio_", "vllm_",
)  # fmt: skip
"""What reports, saves, evaluates, or spreads the work."""
_SECRETS = ("_key", "_secret", "_token", "_url")
_HELD = "eval_dataset"
"""Its losses are what runs are compared by."""


def recorded(args: Args) -> dict[str, Any]:
    """The arguments that are written and change what is learnt, by name: no secret, folder, seed or cadence."""
    found = {name: _plain(value) for name, value in args.items() if value is not None and not _is_indifferent(name)}
    held = [name for name in listed_names(args.get(_HELD)) if name]
    return {**found, **({_HELD: held} if held else {})}


def _is_indifferent(name: str) -> bool:
    return name in _INDIFFERENT or name.startswith(_BEGINNINGS) or name.endswith(_SECRETS)


def _plain(value: Any) -> Any:
    """A value as JSON, the same however it is written: ``1e-2`` is text in YAML, and 1 may stand for 1.0."""
    if isinstance(value, str):
        if value.strip().lower() in {"true", "false"}:
            return value.strip().lower() == "true"
        try:
            number = float(value)
        except ValueError:
            return value
        value = number if isfinite(number) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return json.loads(json.dumps(value, default=str))
