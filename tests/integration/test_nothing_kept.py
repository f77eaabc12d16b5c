"""What `dataflex.keep` forbids lies in no file of a run, at no time; what it allows does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cases import cases
from support import base_args, build_model, train

from dataflex_core.catalog import discover
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.journal.scores import read_scores
from dataflex_core.scoring.engine import Engine
from dataflex_core.scoring.model_signals import ModelSignals

pytestmark = pytest.mark.numeric

PLUGIN = Path(__file__).parents[1] / "every_signal.py"
NUMBERS = ("losses", "token_losses", "influence", "gradients", "embeddings")
# The model is kept, and what LLaMA-Factory and transformers say of the run.
MODELS = ("adapter_model.safetensors", "optimizer.pt")


class Watched:
    """What signals gave, and all that lay in the output folder after any pass."""

    def __init__(self, monkeypatch, output):
        self.numbers, self.completions, self.files = [], [], {}
        for name in NUMBERS:
            self._wrap(monkeypatch, name, self.numbers)
        self._wrap(monkeypatch, "generations", self.completions)
        collect = Engine._collect

        def collecting(engine, *args):
            found = collect(engine, *args)
            self.look(output)
            return found

        monkeypatch.setattr(Engine, "_collect", collecting)

    def _wrap(self, monkeypatch, name, kept):
        ask = getattr(ModelSignals, name)

        def asked(signals, *args, **kwargs):
            kept.append(ask(signals, *args, **kwargs))
            return kept[-1]

        monkeypatch.setattr(ModelSignals, name, asked)

    def look(self, output):
        for path in output.rglob("*"):
            if path.is_file() and path.name not in MODELS and "checkpoint" not in str(path):
                content = path.read_bytes()
                self.files.setdefault(path.relative_to(output), {})[len(content)] = content

    def holding(self, pattern):
        """The files that held ``pattern`` at any time."""
        return {str(path) for path, every in self.files.items() for content in every.values() if pattern in content}

    def scores_found(self):
        """The files with a number that a signal gave, as its bits or in decimals."""
        found = set()
        for given in self.numbers:
            for value in np.concatenate([np.ravel(part)[:3] for part in given]) if len(given) else []:
                if np.isfinite(value) and abs(value) > 1e-3:
                    found |= self.holding(np.float32(value).tobytes()) | self.holding(f"{value:.6f}".encode())
        return found

    def texts_found(self):
        """The files with a completion, as token ids or as text."""
        found = set()
        for given in self.completions:
            for (text,), (ids,) in zip(given.texts, given.completions, strict=True):
                found |= self.holding(np.array(ids, dtype=np.int64).tobytes()) if len(ids) > 3 else set()
                found |= self.holding(text.encode()) if len(text) > 15 else set()
        return found


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("encoder"), seed=4)


@pytest.mark.parametrize("scores", cases([False, True], slow=[True]))
@pytest.mark.parametrize("texts", [False, True])
def test_what_may_not_lie_on_disk_never_does(model, data, encoder, tmp_path, monkeypatch, scores, texts):
    output = tmp_path / "out"
    watched = Watched(monkeypatch, output)
    section = {
        "keep": {"scores": scores, "texts": texts},
        "flush_seconds": 0,
        "candidates": 2,
        "selector": {"name": "every-signal", "folder": str(tmp_path / "told"), "encoder": str(encoder)},
    }
    args = base_args(model, data, output, max_steps=5, eval_dataset="held", dataflex=section)
    train(args, catalog=discover(plugins=Plugins(files=(PLUGIN,))))
    watched.look(output)
    assert len(watched.numbers) > 5
    assert len(watched.completions) == 1
    assert bool(watched.scores_found()) == scores
    assert bool(watched.texts_found()) == texts
    if scores:
        (found,) = read_scores(output / "dataflex")
        assert (len(found.ids), int((found.chosen > 0).sum())) == (24, 12)
        assert (output / "dataflex" / "store").is_dir()
    else:
        allowed = {"journal.jsonl", "partial", *(["texts"] if texts else [])}
        assert {path.parts[1] for path in watched.files if path.parts[0] == "dataflex"} <= allowed
