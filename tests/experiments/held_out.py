"""The loss of held-out samples: their target tokens' mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_BATCH = 24


def held_out_loss(args: Mapping[str, Any], name: str) -> Callable[[Any], float]:
    """For a model that trains with LLaMA-Factory's ``args``: its loss on the data set ``name``, in evaluation mode."""
    import torch
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer
    from transformers import DataCollatorForSeq2Seq

    asked = {key: value for key, value in args.items() if key not in ("dataflex", "eval_dataset")}
    model_args, data_args, training_args, *_ = get_train_args({**asked, "dataset": name})
    tokenizer = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)
    rows = list(get_dataset(template, model_args, data_args, training_args, stage="sft", **tokenizer)["train_dataset"])
    collate = DataCollatorForSeq2Seq(tokenizer["tokenizer"], pad_to_multiple_of=8)
    columns = ("input_ids", "attention_mask", "labels")
    rows = sorted(({key: row[key] for key in columns} for row in rows), key=lambda row: len(row["input_ids"]))
    batches = [collate(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH)]

    def loss(model: Any) -> float:
        was_training, total, count = model.training, 0.0, 0
        model.eval()
        with torch.no_grad():
            for batch in batches:
                labels = batch["labels"][:, 1:]
                logits = (
                    model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].float()
                )
                total += float(torch.nn.functional.cross_entropy(logits.mT, labels, reduction="sum"))
                count += int((labels != -100).sum())
        model.train(was_training)
        return total / count

    return loss
