"""The layouts of one batch: how its samples lie in a language model's tensors, and in those of what is beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from dataflex_core.scoring.model_calls import base_of
from dataflex_core.scoring.rules.layout import Layout
from dataflex_core.scoring.rules.pictures import beside_text, pictures_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layouts:
    """``text`` is the layout of the layers in ``language``, or of all of them where nothing is ``beside`` it."""

    text: Layout
    beside: Layout | None
    language: frozenset[nn.Module]

    def of(self, layer: nn.Module) -> Layout:
        """The layout of what a layer is given."""
        return self.text if self.beside is None or layer in self.language else self.beside


def layouts_of(model: nn.Module, batch: Mapping[str, Any]) -> Layouts:
    """Those of a batch as ``model`` is called with it: what is beside its language model sees pictures."""
    text = Layout(*batch["input_ids"].shape)
    base: Any = base_of(model)
    if not beside_text(batch) or not hasattr(base, "get_decoder"):
        return Layouts(text=text, beside=None, language=frozenset())
    parts = [base.get_decoder(), base.get_output_embeddings()]
    language = frozenset(module for part in parts if part is not None for module in part.modules())
    pictures = pictures_of(batch, getattr(base.config, "image_token_id", None))
    return Layouts(text=text, beside=pictures, language=language)
