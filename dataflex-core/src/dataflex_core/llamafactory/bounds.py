"""How small and how large LLaMA-Factory's numbers may be: a table, and what is wrong with a number.

LLaMA-Factory and transformers count, divide and multiply with whatever they are given. What is refused here would end
a run in the middle, or train nothing, or mean something other than what it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from dataflex_core.finite import MOST, unfit

_PER_DEVICE = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From ``least`` to ``most``, both included unless ``above`` and ``below`` leave them out.

    ``whole`` is whether it counts something; ``large_whole`` whether only what lies above 1 does. ``also`` are values
    with a meaning of their own.
    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False
    whole: bool = False
    large_whole: bool = False
    also: tuple[float, ...] = ()

    def wrong(self, value: float) -> str | None:
        """What ``value``, a number that is no NaN, should be; None where it is within these bounds."""
        if value in self.also:
            return None
        if (self.whole or (self.large_whole and value > 1)) and math.isfinite(value) and value != int(value):
            return "a whole number"
        if value < self.least or (self.above and value == self.least):
            return f"{'more than' if self.above else 'at least'} {self.least:g}"
        if value > self.most or (self.below and value == self.most):
            return f"{'less than' if self.below else 'at most'} {self.most:g}"
        return None


_COUNT = Bounds(least=1, most=MOST, whole=True)
_MAYBE = Bounds(least=0, most=MOST, whole=True)
_WHOLE = Bounds(least=-MOST, most=MOST, whole=True)
_PER_BATCH = Bounds(least=1, most=_PER_DEVICE, whole=True)
_WORKERS = Bounds(least=0, most=_PER_DEVICE, whole=True)
_POSITIVE = Bounds(least=0, above=True)
_NONNEGATIVE = Bounds(least=0)
_SHARE = Bounds(least=0, most=1)
_DECAY = Bounds(least=0, most=1, below=True)
_STEPS = Bounds(least=0, most=MOST, large_whole=True)
_SEED = Bounds(least=0, most=2**32 - 1, whole=True)

BOUNDS: Mapping[str, Bounds] = {
    "max_steps": Bounds(least=1, most=MOST, whole=True, also=(-1,)),
    "num_train_epochs": Bounds(least=0, most=MOST, above=True),
    "per_device_train_batch_size": _PER_BATCH,
    "per_device_eval_batch_size": _PER_BATCH,
    "gradient_accumulation_steps": _PER_BATCH,
    "eval_accumulation_steps": _COUNT,
    "learning_rate": _NONNEGATIVE,
    "warmup_steps": _STEPS,
    "warmup_ratio": _SHARE,
    "weight_decay": _NONNEGATIVE,
    "adam_beta1": _DECAY,
    "adam_beta2": _DECAY,
    "adam_epsilon": _NONNEGATIVE,
    "max_grad_norm": _NONNEGATIVE,
    "label_smoothing_factor": _SHARE,
    "neftune_noise_alpha": _NONNEGATIVE,
    "torch_empty_cache_steps": _COUNT,
    "logging_steps": _STEPS,
    "eval_steps": _STEPS,
    "eval_delay": _NONNEGATIVE,
    "save_steps": Bounds(least=0, most=MOST, above=True, large_whole=True),
    "save_total_limit": _WHOLE,
    "seed": _SEED,
    "data_seed": _SEED,
    "dataloader_num_workers": _WORKERS,
    "dataloader_prefetch_factor": _COUNT,
    "ddp_bucket_cap_mb": _COUNT,
    "ddp_timeout": _COUNT,
    "generation_max_length": _COUNT,
    "generation_num_beams": _COUNT,
    "ray_num_workers": _PER_BATCH,
    "profiler_wait_steps": _MAYBE,
    "profiler_warmup_steps": _MAYBE,
    "profiler_active_steps": _COUNT,
    "profiler_repeat": _MAYBE,
    "cutoff_len": _COUNT,
    "buffer_size": _COUNT,
    "preprocessing_batch_size": _COUNT,
    "preprocessing_num_workers": _PER_BATCH,
    "max_samples": _COUNT,
    "eval_num_beams": _COUNT,
    "val_size": Bounds(least=0, most=MOST, large_whole=True),
    "moe_aux_loss_coef": _NONNEGATIVE,
    "quantization_bit": Bounds(least=1, most=16, whole=True),
    "image_max_pixels": _COUNT,
    "image_min_pixels": _MAYBE,
    "video_max_pixels": _COUNT,
    "video_min_pixels": _MAYBE,
    "video_fps": _POSITIVE,
    "video_maxlen": _COUNT,
    "audio_sampling_rate": _COUNT,
    "freeze_trainable_layers": _WHOLE,
    "lora_rank": _COUNT,
    "lora_alpha": _POSITIVE,
    "lora_dropout": _SHARE,
    "loraplus_lr_ratio": _POSITIVE,
    "loraplus_lr_embedding": _NONNEGATIVE,
    "pissa_iter": Bounds(least=-1, most=MOST, whole=True),
    "module_dropout": _SHARE,
    "oft_rank": _MAYBE,
    "oft_block_size": _MAYBE,
    "galore_rank": _COUNT,
    "galore_update_interval": _COUNT,
    "apollo_rank": _COUNT,
    "apollo_update_interval": _COUNT,
    "badam_start_block": _MAYBE,
    "badam_switch_interval": Bounds(least=1, most=MOST, whole=True, also=(-1,)),
    "badam_update_ratio": _SHARE,
    "asft_alpha": _NONNEGATIVE,
    "eaft_alpha": _NONNEGATIVE,
    "early_stopping_steps": _COUNT,
}
"""The keys whose bounds are known; of any other a number has to be finite, and a whole one within 64 bits."""

_ENDLESS = frozenset({"max_grad_norm"})  # infinity is how gradients are measured and not clipped


def out_of_bounds(key: str, value: float) -> str | None:
    """What the number ``value`` of ``key`` should be; None where it is that."""
    wanted = unfit(value)
    if wanted is not None and not (value == math.inf and key in _ENDLESS):
        return wanted
    return BOUNDS[key].wrong(value) if key in BOUNDS else None
