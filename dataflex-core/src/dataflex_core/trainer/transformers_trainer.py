"""What the mixins rely on of transformers' Trainer, spelled out for the type checker.

At run time `TransformersTrainer` is an empty class: the real one comes from LLaMA-Factory's trainer, further along the
bases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    class TransformersTrainer:
        """The public part of ``transformers.Trainer`` that DataFlex extends, and the little that it reads."""

        args: Any
        state: Any
        control: Any
        model: Any
        model_wrapped: Any
        optimizer: Any
        lr_scheduler: Any
        accelerator: Any
        train_dataset: Any
        data_collator: Any
        processing_class: Any
        callback_handler: Any
        is_fsdp_enabled: bool
        is_deepspeed_enabled: bool
        compute_loss_func: Any
        model_accepts_loss_kwargs: bool
        current_gradient_accumulation_steps: int
        _train_batch_size: int

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def add_callback(self, callback: Any) -> None: ...
        def pop_callback(self, callback: Any) -> Any: ...
        def get_train_dataloader(self) -> Any: ...
        def get_batch_samples(self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device) -> Any: ...
        def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor: ...
        def _get_output_dir(self, trial: Any) -> str: ...
        def _run_epoch(self, **kwargs: Any) -> None: ...
        def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None: ...
        def _load_best_model(self) -> None: ...
        def evaluate(self, *args: Any, **kwargs: Any) -> Any: ...
        def _save_checkpoint(self, model: Any, trial: Any) -> None: ...
        def _prepare_inputs(self, inputs: Any) -> Any: ...
        def compute_loss_context_manager(self) -> Any: ...
        def prediction_step(self, *args: Any, **kwargs: Any) -> Any: ...
        def compute_loss(self, model: Any, inputs: Any, **kwargs: Any) -> Any: ...
        def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None: ...

else:

    class TransformersTrainer:
        """An empty class at run time: LLaMA-Factory's trainer, further along the bases, has what is declared above."""
