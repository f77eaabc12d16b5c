"""What tests of signals share: a tiny model as a run would have it, and float64 batch-of-one references."""

from __future__ import annotations

import copy
import random

import numpy as np
import torch

from dataflex_core.collectives import Ranks
from dataflex_core.scoring.context import ScoringContext
from dataflex_core.scoring.engine import Engine
from dataflex_core.scoring.model_signals import ModelSignals
from dataflex_core.scoring.models import Models
from dataflex_core.scoring.samples import Samples

SIZE, TARGETS = 40, (7, 5)


def make_samples(count: int, seed: int) -> list[dict]:
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        prompt, answer = rng.randint(1, 12), rng.randint(1, 14)
        ids = [rng.randint(4, 60) for _ in range(prompt + answer)]
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:], "attention_mask": [1] * len(ids)})
    return rows


def build(folder, how: str):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if how == "tied":
        model.config.tie_word_embeddings = True
        model.lm_head.weight = model.model.embed_tokens.weight
    if how == "biases":
        config = copy.deepcopy(model.config)
        config.attention_bias = config.mlp_bias = True
        torch.manual_seed(1)
        model = type(model)(config)
    if how == "gpt2":
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(1)
        size = len(AutoTokenizer.from_pretrained(folder))
        model = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=64))
    if how == "beyond hooks":
        torch.manual_seed(1)
        model = shifted(model)
    if how in ("lora", "rslora", "dora", "lora and embeddings"):
        torch.manual_seed(0)
        layers = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
        saved = ["embed_tokens"] if how == "lora and embeddings" else None
        config = LoraConfig(
            r=4,
            target_modules=layers,
            lora_dropout=0.3,
            use_dora=how == "dora",
            use_rslora=how == "rslora",
            modules_to_save=saved,
        )
        model = get_peft_model(model, config)
        model.enable_input_require_grads()
    if how == "frozen":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = ".1." in name
        model.enable_input_require_grads()
    return model


def shifted(model):
    """The model with a trainable parameter that is no layer's: what it shifts all embeddings by."""

    class Shifted(type(model)):
        def __init__(self, config):
            super().__init__(config)
            self.shift = torch.nn.Parameter(0.1 * torch.randn(config.hidden_size))

        def forward(self, input_ids=None, attention_mask=None, position_ids=None, **options):
            embeds = self.get_input_embeddings()(input_ids) + self.shift
            return super().forward(
                inputs_embeds=embeds, attention_mask=attention_mask, position_ids=position_ids, **options
            )

    return Shifted(model.config)


STEPS = 6


def trained(model, rows, steps=STEPS) -> torch.optim.Optimizer:
    """A few real Adam steps, so that the moments are what a run has."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, betas=(0.9, 0.98))
    for step in range(steps):
        row = rows[step % len(rows)]
        batch = {key: torch.tensor([value]) for key, value in row.items()}
        model(**batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return optimizer


def signals_of(
    model, optimizer, pool, targets, *, side="right", budget=96, notices=None, seed=0, collate=None, **engine_options
):
    from accelerate import Accelerator
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq

    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    tokenizer.padding_side = side
    collate = collate or DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8)
    ranks = Ranks(Accelerator(cpu=True))
    said = (notices if notices is not None else []).append
    context = ScoringContext(
        models=Models(training=model, tokenizer=tokenizer, device=ranks.device, base_path=str(model.folder)),
        optimizer=lambda: optimizer,
        engine=Engine(
            collate=collate, ranks=ranks, token_budget=budget, show_progress=False, notice=said, **engine_options
        ),
        targets=[Samples(name=f"t{k}", dataset=rows) for k, rows in enumerate(targets)],
        notice=said,
        seed=seed,
        step=STEPS,
    )
    return ModelSignals(context, Samples(name="the pool", dataset=pool))


def reference_gradients(model, rows, dtype=torch.float64) -> torch.Tensor:
    """Batch-of-one gradients of the mean loss over target tokens, Float64[n, parameters]."""
    wide = copy.deepcopy(model).to(dtype).eval()
    parameters = [p for p in wide.parameters() if p.requires_grad]
    found = []
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        logits = (
            wide(input_ids=ids, attention_mask=torch.ones_like(ids))
            .logits[0, :-1]
            .to(torch.promote_types(dtype, torch.float32))
        )
        labels = torch.tensor(row["labels"][1:])
        loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-100)
        grads = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = zip(grads, parameters, strict=True)
        found.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten().double() for g, p in pairs]))
    return torch.stack(found)


def reference_updates(model, optimizer, rows, *, adam=True, dtype=torch.float64, step=None) -> torch.Tensor:
    """Those gradients, or with ``adam`` LESS's directions, or those of Adam's step ``step``, from 1."""
    update = reference_gradients(model, rows, dtype)
    if adam:
        parameters = [p for p in model.parameters() if p.requires_grad]
        group = optimizer.param_groups[0]
        (b1, b2), eps = group["betas"], group["eps"]
        states = [optimizer.state[p] for p in parameters]
        m, v = (torch.cat([s[k].double().flatten() for s in states]) for k in ("exp_avg", "exp_avg_sq"))
        of_first, of_second = (1.0, 1.0) if step is None else (1 - b1**step, 1 - b2**step)
        first, second = b1 * m + (1 - b1) * update, b2 * v + (1 - b2) * update**2
        update = first / of_first / (second / of_second + eps).sqrt()
    return update


def reference_scores(model, optimizer, pool, targets, *, adam=True, dtype=torch.float64) -> np.ndarray:
    update = reference_updates(model, optimizer, pool, adam=adam, dtype=dtype)
    update = update / update.norm(dim=1, keepdim=True)
    subtasks = []
    for rows in targets:
        g = reference_gradients(model, rows, dtype)
        subtasks.append((g / g.norm(dim=1, keepdim=True)).mean(dim=0))
    return (update @ torch.stack(subtasks).T).amax(dim=1).numpy()


def set_up(folder, how):
    model = build(folder, how)
    model.folder = folder
    pool = make_samples(SIZE, 1)
    targets = [make_samples(n, 10 + n) for n in TARGETS]
    return model, trained(model, pool), pool, targets
