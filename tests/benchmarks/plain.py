"""References in plain PyTorch and the stock `transformers.Trainer`. Nothing of DataFlex is used here."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

Row = dict[str, list[int]]


def loader(rows: Sequence[Row], batches: Sequence[Sequence[int]], collate: Any) -> DataLoader[Any]:
    """The rows, in these batches."""
    return DataLoader(rows, batch_sampler=[list(batch) for batch in batches], collate_fn=collate)  # type: ignore[arg-type]


def train_steps(model: Any, optimizer: torch.optim.Optimizer, batches: DataLoader[Any], device: torch.device) -> None:
    """A plain training step a batch: forward in train mode, backward, AdamW, gradients back to none."""
    model.train()
    for batch in batches:
        model(**{key: value.to(device) for key, value in batch.items()}).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def evaluator(model: Any, rows: Sequence[Row], collate: Any, *, batch_size: int, folder: str | None = None) -> Any:
    """A stock Trainer, ready to evaluate ``rows``."""
    from transformers import Trainer, TrainingArguments, trainer_callback

    cuda = torch.cuda.is_available()
    arguments = TrainingArguments(
        output_dir=folder or tempfile.gettempdir(),
        per_device_eval_batch_size=batch_size,
        prediction_loss_only=True,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to=[],
        disable_tqdm=True,
        use_cpu=not cuda,
        bf16=cuda,
        dataloader_pin_memory=cuda,
    )
    trainer = Trainer(model=model, args=arguments, eval_dataset=rows, data_collator=collate)
    trainer.remove_callback(trainer_callback.PrinterCallback)
    return trainer
