"""Models beside the one in training: references for losses, encoders for embeddings. Frozen, loaded once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from dataflex_core.collectives import Ranks
from dataflex_core.errors import UnmetNeed
from dataflex_core.references import BASE
from dataflex_core.scoring.fingerprint import digest_of_model
from dataflex_core.scoring.frozen import digest_of_frozen
from dataflex_core.scoring.model_calls import base_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoder:
    """A model for embeddings, with its own tokenizer where that differs from the run's."""

    model: nn.Module
    tokenizer: Any | None


@dataclass(slots=True, kw_only=True, eq=False)
class Models:
    """The model in training, and those loaded beside it, by path or name, on its device and in its dtype.

    ``sharding`` is transformers' hold on a DeepSpeed configuration. Models beside are whole on every rank: in the
    parts that ZeRO-3 has it load them in, only DeepSpeed's own engine could run them.
    """

    training: nn.Module
    tokenizer: Any
    device: torch.device
    base_path: str | None = None
    trust_remote_code: bool = False
    sharding: Any | None = None
    _loaded: dict[tuple[str, str], Encoder] = field(default_factory=dict)
    _digests: dict[int, str] = field(default_factory=dict)
    _frozen: dict[int, str | None] = field(default_factory=dict)

    @contextmanager
    def reference(self, name: str | None) -> Iterator[nn.Module]:
        """A causal language model: the one in training for None, `BASE`, or a path. Raises `UnmetNeed`."""
        adapter = getattr(self.training, "disable_adapter", None)
        if name is None:
            yield self.training
        elif name == BASE and callable(adapter):
            wanted = {p: p.requires_grad for p in self.training.parameters()}
            try:
                with adapter():
                    yield self.training
            finally:
                for parameter, value in wanted.items():
                    parameter.requires_grad = value
        else:
            yield self._load(name, "AutoModelForCausalLM", self._only_our_tokens).model

    def encoder(self, name: str | None) -> Encoder:
        """A model for embeddings: the one in training for None, or a path. Raises `UnmetNeed`."""
        if name is None:
            return Encoder(model=self.training, tokenizer=None)
        return self._load(name, "AutoModel", lambda path, theirs: theirs)

    def forget(self, name: str) -> None:
        """Let go of a reference that was loaded beside the model in training: whoever asks again loads it again."""
        loaded = self._loaded.pop(("AutoModelForCausalLM", self.path_of(name)), None)
        if loaded is not None:  # another model may come to lie where it lay
            self._digests.pop(id(loaded.model), None)
            self._frozen.pop(id(loaded.model), None)

    def digest(self, model: nn.Module) -> str:
        """Digest of a model's weights; worked out once for a frozen model."""
        if model is self.training:
            return digest_of_model(model)
        if id(model) not in self._digests:
            self._digests[id(model)] = digest_of_model(model)
        return self._digests[id(model)]

    def frozen_digest(self, model: nn.Module, *, ranks: Ranks | None = None) -> str | None:
        """As `digest_of_frozen`, worked out once a model: of the one in training, without its adapter."""
        if id(model) not in self._frozen:
            self._frozen[id(model)] = digest_of_frozen(model, ranks=ranks if model is self.training else None)
        return self._frozen[id(model)]

    def _load(self, name: str, kind: str, tokenizer_of: Callable[[str, Any], Any]) -> Encoder:
        path = name if name != BASE else self.base_path
        if path is None:
            raise UnmetNeed(f"the model {name} is not known here", hint="give the path of a model")
        if (kind, path) not in self._loaded:
            import transformers

            # The sort of numbers that the run computes with: a reference wider than that would cost twice the memory.
            base = base_of(self.training)
            settings = {"trust_remote_code": self.trust_remote_code, "dtype": getattr(base, "dtype", torch.float32)}
            try:
                with self._whole():
                    model = self._class(kind, path).from_pretrained(path, **settings)
                theirs = transformers.AutoTokenizer.from_pretrained(path, trust_remote_code=self.trust_remote_code)
            except (OSError, ValueError) as error:
                first = str(error).strip().partition("\n")[0]
                raise UnmetNeed(f"model {path} cannot be loaded: {first}", hint="give the path of a model") from error
            tokenizer = None if theirs.get_vocab() == self.tokenizer.get_vocab() else tokenizer_of(path, theirs)
            self._loaded[kind, path] = Encoder(
                model=model.to(self.device).eval().requires_grad_(False), tokenizer=tokenizer
            )
        return self._loaded[kind, path]

    def _class(self, kind: str, path: str) -> Any:
        """What loads the model: LLaMA-Factory, too, takes another class for one that reads pictures."""
        import transformers

        if kind == "AutoModelForCausalLM":
            config = transformers.AutoConfig.from_pretrained(path, trust_remote_code=self.trust_remote_code)
            if type(config) in transformers.AutoModelForImageTextToText._model_mapping:
                return transformers.AutoModelForImageTextToText
        return getattr(transformers, kind)

    def path_of(self, name: str) -> str:
        """Where a model comes from, for people."""
        return name if name != BASE else self.base_path or name

    @contextmanager
    def _whole(self) -> Iterator[None]:
        from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

        unset_hf_deepspeed_config()
        try:
            yield
        finally:
            if self.sharding is not None:
                set_hf_deepspeed_config(self.sharding)

    def _only_our_tokens(self, path: str, theirs: Any) -> None:
        known = theirs.get_vocab()
        if any(known.get(token) != index for token, index in self.tokenizer.get_vocab().items()):
            raise UnmetNeed(
                f"reference model {path} has another vocabulary than the model in training",
                hint="use a model of the same family",
            )
