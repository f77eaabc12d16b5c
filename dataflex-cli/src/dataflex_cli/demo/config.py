"""The demo's configuration, written for somebody who will put their own data in its place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

_TEMPLATE = """\
# A LLaMA-Factory training configuration with one section more, `dataflex:`, at the end.
#   dataflex run {config_name}            trains, and lets the selector choose the samples
#   dataflex run {config_name} --dry-run  says what would happen
# Paths are absolute: edit them if you move this folder.

### model: replace it with your own, a folder or a name on the Hugging Face hub
model_name_or_path: {model}
trust_remote_code: false
template: default  # the chat format; a pretrained chat model wants its own, say qwen3

### method
stage: sft
do_train: true
finetuning_type: full  # or lora

### data: every data set named here is a domain; data/dataset_info.json says which file each one is
dataset_dir: {data}
dataset: {domains}
# Examples of what the model should become good at, here signatures from modules that training leaves out. LESS scores
# training samples against the first set, the target set (`targets:` below); the run is evaluated on both, and the loss
# on the second tells what the choice was worth, for nothing was chosen by it.
eval_dataset: {target},{held_out}
eval_on_each_dataset: true
cutoff_len: 160  # tokens; longer samples are cut
overwrite_cache: true

### training
seed: {seed}
per_device_train_batch_size: 16
gradient_accumulation_steps: 1
learning_rate: 3.0e-3  # for a tiny model that starts from nothing; a pretrained one wants 1.0e-5 to 1.0e-4
lr_scheduler_type: constant
num_train_epochs: 1.0  # without the dataflex section; with it, warmup_steps + updates * update_steps decide
bf16: false  # true on a GPU
disable_gradient_checkpointing: true  # faster, while memory suffices
dataloader_pin_memory: false  # true on a GPU

### evaluation
eval_strategy: steps
eval_steps: 10
per_device_eval_batch_size: 30

### output
output_dir: {output}
overwrite_output_dir: true
save_strategy: "no"  # steps, with save_steps, to be able to resume
logging_steps: 5
report_to: none  # or tensorboard, wandb, swanlab, ...

### what DataFlex decides; counts are optimizer steps
dataflex:
  warmup_steps: 10  # before the first decision, on all domains
  update_steps: 10  # from one decision to the next
  updates: 4        # decisions; the run is 10 + 4 * 10 = 50 steps long
  candidates: all   # a decision judges every sample; 4: 4 times as many fresh ones as it chooses
  exact: 0.25       # scores a quarter as many as it chooses, and predicts the other scores; all: scores every one
  targets: [{target}]
  selector:
    name: less      # `dataflex list-strategies` shows the others
"""


def config_text(folder: Path, *, domains: Iterable[str], target: str, held_out: str, seed: int) -> str:
    """The YAML of a demo that lies in ``folder``, an absolute path."""
    return _TEMPLATE.format(
        config_name="config.yaml",
        model=_quoted(folder / "model"),
        data=_quoted(folder / "data"),
        domains=",".join(domains),
        target=target,
        held_out=held_out,
        seed=seed,
        output=_quoted(folder / "output"),
    )


def _quoted(path: Path) -> str:
    """A YAML scalar that survives spaces, colons and backslashes."""
    return json.dumps(str(path), ensure_ascii=False)
