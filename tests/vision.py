"""Tiny random vision-language models with processors of their own, and a LLaMA-Factory data folder with images."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import WORDS, base_args

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>"]
PICTURES = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<image>"]

_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}

_PICTURES = {"freeze_vision_tower": False, "freeze_multi_modal_projector": False}

WAYS: dict[str, dict[str, Any]] = {
    "lora": {},
    "full": {"finetuning_type": "full"},
    "lora, pictures too": _PICTURES,
    "full, pictures too": {"finetuning_type": "full", **_PICTURES},
}
"""LLaMA-Factory's arguments for what trains: the language model as its default, or what is beside it, too."""

IMAGES: dict[str, list[list[tuple[int, int]]]] = {
    "sizes": [[(56, 56)], [(84, 56)], [(56, 112)], [(28, 28)], [(112, 56)], [(56, 84)]],
    "counts": [[], [(56, 56)], [(56, 84), (84, 56)], [], [(28, 56)], [(56, 56), (28, 28)]],
    "text": [[], [], [], [], [], []],
    "held": [[(56, 56)], [], [(84, 56), (56, 56)], []],
}
"""Data sets by name: the images of each row, their widths and heights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionArchitecture:
    """A family: its name for people, LLaMA-Factory's template for it, and who writes a model with its processor."""

    title: str
    template: str
    write: Callable[[Path, Any], None]

    def build(self, folder: Path) -> Path:
        """A folder with a model of random weights, its tokenizer and its processor, as LLaMA-Factory reads it."""
        import torch

        tokenizer = _tokenizer()
        tokenizer.save_pretrained(folder)
        torch.manual_seed(1)
        self.write(folder, tokenizer)
        return folder

    def load(self, folder: Path, data: Path) -> Loaded:
        """What LLaMA-Factory makes of that folder and of all of the data sets of ``data``."""
        from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
        from llamafactory.hparams import get_train_args
        from llamafactory.model import load_tokenizer

        args = vision_args(folder, data, folder / "unused", self, dataset=",".join(IMAGES))
        model_args, data_args, training_args, *_ = get_train_args(args)
        tokens = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(tokens["tokenizer"], data_args)
        module = get_dataset(template, model_args, data_args, training_args, stage="sft", **tokens)
        rows, start = {}, 0
        for name, images in IMAGES.items():
            rows[name] = [module["train_dataset"][start + i] for i in range(len(images))]
            start += len(images)
        return Loaded(args=args, tokens=tokens, template=template, rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """LLaMA-Factory's arguments, tokenizer with processor, template, and tokenised rows by data set."""

    args: dict[str, Any]
    tokens: dict[str, Any]
    template: Any
    rows: dict[str, list[dict[str, Any]]]

    def model(self, **changes: Any) -> Any:
        """The model as LLaMA-Factory trains it, with other arguments; no ``B`` of LoRA is zero."""
        import torch
        from llamafactory.hparams import get_train_args
        from llamafactory.model import load_model

        args = {**self.args, **changes}
        model_args, _, _, finetuning_args, _ = get_train_args(args)
        model = load_model(self.tokens["tokenizer"], model_args, finetuning_args, is_trainable=True)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return model

    def collate(self, model: Any) -> Callable[[list[dict[str, Any]]], Any]:
        """LLaMA-Factory's collator for it, as its workflow of supervised fine-tuning makes it, and a run has it."""
        from llamafactory.data import SFTDataCollatorWith4DAttentionMask

        from dataflex_core.scoring.feed import OfCopies

        collator = SFTDataCollatorWith4DAttentionMask(
            template=self.template, model=model, pad_to_multiple_of=8, label_pad_token_id=-100, **self.tokens
        )
        return OfCopies(collator)


def vision_args(model: Path, data: Path, output: Path, family: VisionArchitecture, **changes: Any) -> dict[str, Any]:
    """LLaMA-Factory arguments of a short run on images; everything else is its default."""
    given = {"dataset": "sizes,counts", "template": family.template, "cutoff_len": 128, **changes}
    return base_args(model, data, output, **given)


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    text = [*WORDS, "user", "assistant", "system", "USER", "ASSISTANT", ":", ".", "say"]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*SPECIAL, *PICTURES, *text]))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=[*SPECIAL[4:], *PICTURES],
    )


def _write_qwen2_vl(folder: Path, tokenizer: Any) -> None:
    """Patches of 14 pixels, of which four make one token; images of any size."""
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    ids = dict(zip(PICTURES, tokenizer.convert_tokens_to_ids(PICTURES), strict=True))
    config = Qwen2VLConfig(
        text_config={**_TEXT, "vocab_size": len(tokenizer), "rope_parameters": _rope()},
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2},
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
    )
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    pixels = {"min_pixels": 28 * 28, "max_pixels": 28 * 28 * 16}
    Qwen2VLProcessor(Qwen2VLImageProcessor(**pixels), tokenizer, Qwen2VLVideoProcessor(**pixels)).save_pretrained(
        folder
    )


def _rope() -> dict[str, Any]:
    """Rotary positions in time, height and width: of the four frequencies of a head of 8, two, one and one."""
    return {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}


def _write_llava(folder: Path, tokenizer: Any) -> None:
    """Images cut to 28 pixels, four patches of 14, each a token."""
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    vision = {"image_size": 28, "patch_size": 14, "hidden_size": 32, "intermediate_size": 48}
    config = LlavaConfig(
        text_config={**_TEXT, "model_type": "llama", "vocab_size": len(tokenizer)},
        vision_config={**vision, "model_type": "clip_vision_model", "num_hidden_layers": 3, "num_attention_heads": 2},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)


VISION = {
    "qwen2-vl": VisionArchitecture(title="Qwen2-VL", template="qwen2_vl", write=_write_qwen2_vl),
    "llava": VisionArchitecture(title="LLaVA", template="llava", write=_write_llava),
}


def build_image_data(folder: Path, *, times: int = 1, seed: int = 0) -> Path:
    """A data folder with the data sets of `IMAGES`, each row ``times`` times with other words and pixels."""
    import random

    import numpy as np
    from PIL import Image

    rng = random.Random(seed)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    columns = {"messages": "messages", "images": "images"}
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    index: dict[str, Any] = {}
    for name, shapes in IMAGES.items():
        rows = []
        for number, sizes in enumerate(shapes * times):
            paths = []
            for place, (width, height) in enumerate(sizes):
                pixels = np.random.default_rng([seed, number, place]).integers(0, 256, (height, width, 3))
                path = f"images/{name}-{number}-{place}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(folder / path)
                paths.append(str(folder / path))
            picked = rng.choices(WORDS, k=rng.randint(3, 10))
            asked = "<image>" * len(sizes) + "say " + " ".join(picked)
            said = " ".join(reversed(picked))
            messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]
            rows.append({"messages": messages, "images": paths})
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
        index[name] = {"file_name": f"{name}.json", "formatting": "sharegpt", "columns": columns, "tags": tags}
    (folder / "dataset_info.json").write_text(json.dumps(index), encoding="utf-8")
    return folder
