"""What the signals of one run share: its models, its batching engine, and what holds for one decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from dataflex_core.layers import ALL_LAYERS, last_layers
from dataflex_core.scoring.chunked import ChunkedLosses
from dataflex_core.scoring.engine import Engine
from dataflex_core.scoring.fingerprint import digest_of_code, digest_of_tensors, digest_of_text
from dataflex_core.scoring.frozen import digest_of_tokenizer, question
from dataflex_core.scoring.gradients import Gradients
from dataflex_core.scoring.influence import Directions
from dataflex_core.scoring.last_layers import layers_of
from dataflex_core.scoring.models import Models
from dataflex_core.scoring.moments import Moments
from dataflex_core.scoring.rules.rule import Rule
from dataflex_core.scoring.samples import Samples
from dataflex_core.scoring.store import Shelf, Store
from dataflex_core.scoring.target_directions import TargetDirections


@dataclass(slots=True, kw_only=True, eq=False)
class ScoringContext:
    """What every view of one run's samples shares.

    ``optimizer`` gives the running one. ``targets`` are the target set's subtasks, ``holdout`` the samples by domain
    that are kept out of training, ``ends`` the tokens that end an
    answer (the tokenizer's, if empty), ``configuration`` whatever else results depend on, ``in_blocks`` whether the
    optimizer trains one block of layers at a time, ``rules`` are plugins' own for layers of theirs. ``step`` and what
    ``gradients`` are taken of hold for one decision, ``directions``, the subtasks' mean gradients, for as many as was
    asked for. ``store`` has the answers of models that do not train, those of token losses in numbers of ``tokens_as``;
    ``precision`` is what the one in training computes in where its weights do not say so. ``notice`` tells the user
    something, ``fallback`` that something is not done as it is best done: its kind, and why; None: that is a notice.
    ``chunked`` takes losses of tokens without whole logits; None: these are had. ``explains`` is whether somebody will
    ask which target samples others help most: then their unit gradients, the last ones that were taken at this
    decision, stay for it where they fit: ``target_units``, and of which layers.
    """

    models: Models
    optimizer: Callable[[], object]
    engine: Engine
    targets: Sequence[Samples]
    notice: Callable[[str], None]
    rules: Sequence[Rule] = ()
    seed: int = 0
    configuration: str = ""
    ends: Sequence[int] = ()
    in_blocks: bool = False
    step: int = 0
    store: Store | None = None
    tokens_as: str = "float32"
    precision: str = "no"
    fallback: Callable[[str, str], None] | None = None
    explains: bool = False
    holdout: Mapping[str, Samples] = field(default_factory=dict)
    chunked: ChunkedLosses | None = None
    gradients: Gradients = field(init=False)
    directions: TargetDirections = field(default_factory=TargetDirections, init=False)
    target_units: tuple[str | float, Directions] | None = field(default=None, init=False)
    _of_last: dict[int, Gradients] = field(default_factory=dict, init=False)
    _told: set[str] = field(default_factory=set, init=False)
    _tokenizers: dict[int, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.gradients = self._gradients(None)

    def new_decision(self, step: int) -> None:
        """Forget what was computed with the model as it was before ``step``."""
        self.step = step
        self.directions.new_decision()
        self.target_units = None
        for gradients in (self.gradients, *self._of_last.values()):
            gradients.new_decision()

    def gradients_of(self, layers: str | float) -> Gradients:
        """Those of all parameters, or of the last layers. Raises as `last_layers`."""
        if layers == ALL_LAYERS:
            return self.gradients
        last = last_layers(layers, len(layers_of(self.models.training)))
        assert last is not None, "all are asked for otherwise"
        if last not in self._of_last:
            self._of_last[last] = self._gradients(last)
        return self._of_last[last]

    def _gradients(self, last: int | None) -> Gradients:
        return Gradients(
            self.models.training,
            self.notice,
            self.rules,
            in_blocks=self.in_blocks,
            fallback=partial(self.fall_back, "gradients-one-by-one"),
            last=last,
            chunked=self.chunked,
        )

    def state(
        self,
        model: nn.Module,
        moments: Mapping[nn.Parameter, Moments] | None = None,
        targets: Sequence[Samples] = (),
    ) -> dict[str, str]:
        """Digests, by name, of everything that results depend on but the samples themselves."""
        named = [pair for m in (moments or {}).values() for pair in (("first", m.first), ("second", m.second))]
        return {
            "model": digest_of_text(self.models.digest(model), digest_of_tensors(named)),
            "target set": digest_of_text(*(samples.digest() for samples in targets)),
            "configuration": digest_of_text(self.configuration),
            "seed": str(self.seed),
            "code": digest_of_code(),
        }

    def state_of_gradients(
        self, gradients: Gradients, moments: Mapping[nn.Parameter, Moments] | None, targets: Sequence[Samples] = ()
    ) -> dict[str, str]:
        """The same where results are gradients of the model in training: it matters what trains, too."""
        known = self.state(self.models.training, moments, targets)
        return {**known, "parameters": digest_of_text(*gradients.parameters)}

    def shelf(
        self,
        name: str | None,
        model: nn.Module,
        what: str,
        *tokenizers: Any,
        dtype: str = "float32",
        **asked: object,
    ) -> Shelf | None:
        """Where the store has the answers of ``model``, called ``name``, to a question; None where it trains.

        ``tokenizers`` are those that samples go through on their way, ``dtype`` is of the numbers that are kept.
        Collective where ranks share a model.
        """
        if name is None or self.store is None:
            return None
        trains = model is self.models.training
        digest = self.models.frozen_digest(model, ranks=self.engine.ranks if self.engine.lockstep else None)
        if digest is None:
            return None
        computed = f"{self.models.device.type}, autocast {self.precision if trains else 'no'}"
        return self.store.shelf(
            question(digest, {"what": what, **asked}, computed=computed, texts=self._digest_of(tokenizers)),
            about={"what": what, "model": self.models.path_of(name), **asked},
            dtype=dtype,
        )

    def _digest_of(self, tokenizers: Sequence[Any]) -> str:
        """Digest of tokenizers, each written out once: it takes as long as a pass over few samples."""
        for each in tokenizers:
            if id(each) not in self._tokenizers:
                self._tokenizers[id(each)] = digest_of_tokenizer(each)
        return digest_of_text(*(self._tokenizers[id(each)] for each in tokenizers)) if tokenizers else ""

    def fall_back(self, kind: str, text: str) -> None:
        """Tell the user that something is not done as it is best done, and why."""
        if self.fallback is None:
            self.notice(text)
        else:
            self.fallback(kind, text)

    def fall_back_once(self, kind: str, text: str) -> None:
        """The same, unless it was told before."""
        if text not in self._told:
            self._told.add(text)
            self.fall_back(kind, text)
