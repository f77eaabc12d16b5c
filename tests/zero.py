"""DeepSpeed's configurations, as LLaMA-Factory takes them."""

from __future__ import annotations

ZERO = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": True,
}
ZERO2 = {"zero_optimization": {"stage": 2, "overlap_comm": False}}
# Every parameter is sharded, however small.
ZERO3 = {
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": False,
        "stage3_param_persistence_threshold": 0,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
}
