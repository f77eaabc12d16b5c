"""How often DataFlex's own code makes the host wait for the device: once a logging step, and once a pass."""

from __future__ import annotations

from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import cases
from host_reads import host_reads
from support import base_args, of_kind, train
from third_party import FILES

from dataflex_core.catalog import discover
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.errors import RunFailed, StrategyFault
from dataflex_core.scoring.engine import Engine
from dataflex_core.trainer.checkpoints import CheckpointTrainer
from dataflex_core.trainer.ledger import Ledger, digest_of
from dataflex_strategies.weighters.loss import LossWeighter

pytestmark = pytest.mark.numeric

STEPS, EVERY = 9, 3
STEEP = Path(__file__).parents[1] / "steep.py"
OFTEN = {"update_steps": 1, "candidates": 4}

LOGGED = {
    "a weighter that compares": ({"weighter": "loss"}, {}, {"gradient_accumulation_steps": 2}),
    "a weighter that does not": ({"weighter": "uniform"}, {}, {}),
    "two weighters and a mixer": ({"weighter": ("loss", "uniform"), "mixer": "random"}, {}, {}),
    "a weighter of tokens": ({"weighter": "steep"}, {}, {}),
    "losses in pieces": ({"weighter": "loss"}, {"chunked_loss": True}, {"gradient_accumulation_steps": 2}),
    "a mixer": ({"mixer": "random"}, {"update_steps": 1}, {}),
    "a selector that asks nothing": ({"selector": "random"}, OFTEN, {}),
}
DECIDED = {
    "losses": ({"selector": "loss"}, OFTEN, {}),
    "gradients": ({"selector": "less"}, OFTEN, {"eval_dataset": "held,numbers_held"}),
    "all kinds": ({"selector": "loss", "mixer": "random", "weighter": "loss"}, OFTEN, {}),
    "a mixer that learns": ({"mixer": "exp3"}, {"update_steps": 1}, {}),
}


def reads(model, data, tmp_path, case):
    strategies, section, more = case
    args = base_args(model, data, tmp_path / "out", max_steps=STEPS, logging_steps=EVERY, dataflex=section, **more)
    events = []
    with host_reads("dataflex_core", "dataflex_strategies") as found:
        train(args, events=events, catalog=discover(plugins=Plugins(files=(*FILES, STEEP))), **strategies)
    decisions = sum(event["decision"] > 0 for event in of_kind(events, "decision"))
    return found, decisions


@pytest.mark.parametrize("case", LOGGED.values(), ids=LOGGED)
def test_steps_read_once_a_logging_step(model, data, tmp_path, case):
    found, _ = reads(model, data, tmp_path, case)
    once = [place for place in found.places if "output_head" in place]  # what a model does to its logits is found once
    assert len(once) <= 1
    assert 1 <= len(found) - len(once) <= STEPS // EVERY, found.counted()


@pytest.mark.parametrize("case", DECIDED.values(), ids=DECIDED)
def test_a_decision_reads_once_and_once_more_where_it_says_why(model, data, tmp_path, monkeypatch, case):
    # That hooks reach all gradients is looked at once a run, with a read for each parameter.
    monkeypatch.setattr("dataflex_core.scoring.gradients.Gradients._disagreeing", lambda self, batch, found: {})
    found, decisions = reads(model, data, tmp_path, case)
    assert decisions == STEPS - 2
    passes = decisions * (2 if case[0].get("selector") == "less" else 1)
    assert passes <= len(found) <= passes + STEPS // EVERY, found.counted()


def test_what_is_counted_is_what_makes_a_host_wait():
    values = torch.tensor([1.0, 0.0])

    def ask():
        bool(values[0] > 0)
        float(values[0])
        values.tolist()
        values.cpu().numpy()
        values.to("cpu")
        values[values > 0]
        values.nonzero()

    with host_reads(__name__.partition(".")[0]) as found:
        ask()
    assert len(found) == 7
    with host_reads("dataflex_core") as found:
        ask()
        torch.where(values > 0, values, 0.0).sum()
    assert len(found) == 0, "of other packages, and what stays on the device"


class Wrong(LossWeighter):
    """Gives weights that are no numbers at one step."""

    at, value = 3, float("nan")

    def weigh(self, request, losses):
        weights = super().weigh(request, losses)
        return weights * self.value if request.progress.step == self.at else weights


@pytest.mark.parametrize("value", [float("nan"), -1.0, 0.0])
@pytest.mark.parametrize("ends", ["log", "save", "end", "epoch"])
def test_wrong_weights_are_told_with_their_step_and_never_saved(model, data, tmp_path, monkeypatch, ends, value):
    monkeypatch.setattr(Wrong, "value", value)
    monkeypatch.setattr("dataflex_strategies.weighters.loss.LossWeighter", Wrong)
    more = {
        "log": {"logging_steps": 6},
        "save": {"logging_steps": 100, "save_strategy": "steps", "save_steps": 5},
        "epoch": {"logging_steps": 100, "save_strategy": "epoch", "per_device_train_batch_size": 25},
        "end": {"logging_steps": 100},
    }[ends]
    output = tmp_path / "out"
    with pytest.raises(StrategyFault, match=r"weighter loss.*, step 3: answers with "):
        train(base_args(model, data, output, **more), weighter="loss")
    assert not list(output.glob("checkpoint-*"))
    assert not list(output.glob("*.safetensors"))


def test_losses_that_are_no_numbers_are_no_weighters_fault(model, data, tmp_path, monkeypatch):
    def raising(self, request, losses):
        if not torch.isfinite(losses.per_sample).all():
            raise ValueError("what is that")
        return losses.per_sample.new_ones(len(request.ids))

    monkeypatch.setattr(LossWeighter, "weigh", raising)
    changes = {"learning_rate": 1e30, "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "logging_steps": 100}
    with pytest.raises(RunFailed, match=r"training has diverged at step [1-3]: "):
        train(base_args(model, data, tmp_path / "out", **changes, dataflex={"warmup_steps": 1}), weighter="loss")


class Two(SimpleNamespace):
    """Two ranks, of which the other has other bits."""

    rank, world, device = 1, 2, torch.device("cpu")

    def gather_rows(self, mine):
        return torch.cat([mine + 1, mine])


def test_a_ledger_reads_once_and_gives_every_bit_of_all_ranks_back():
    ledger = Ledger(Two())
    left = [
        torch.tensor([True, False]),
        torch.tensor([[2**53, -1]]),
        torch.tensor([1e-45, -0.0, float("nan"), 3.5]),
        torch.tensor([[0.1], [float("inf")]], dtype=torch.float64),
        torch.tensor(7),
    ]
    for step, values in enumerate(left):
        ledger.add("kind", step, values, about=step)
    with host_reads("dataflex_core") as found:
        entries = ledger.read()
    assert len(found) == 1
    assert len(ledger) == 0
    for step, (entry, values) in enumerate(zip(entries, left, strict=True)):
        assert (entry.step, entry.about) == (step, step)
        np.testing.assert_array_equal(entry.values, values.numpy())
        assert entry.everyones.shape == (2, *values.shape)
        assert (entry.everyones[0] != entry.values).any()
        assert entry.values.dtype == values.numpy().dtype


def test_a_digest_is_of_every_bit_and_its_place():
    values = torch.rand(4, 5)
    assert digest_of(values) == digest_of(values.clone())
    others = [values.flip(0), values * (1 + 2**-23), torch.where(values == values[2, 3], -values, values)]
    assert len({int(digest_of(other)) for other in (values, *others)}) == 4


@pytest.mark.parametrize("candidates", cases([2, 10], slow=[10]))
def test_a_decision_at_every_step_starts_no_workers_holds_no_state_and_makes_no_file(
    model, data, tmp_path, monkeypatch, candidates
):
    started, passes, start, make = [], [], BaseProcess.start, Engine._run
    monkeypatch.setattr(BaseProcess, "start", lambda self: (started.append(self), start(self))[1])
    monkeypatch.setattr(Engine, "_run", lambda self, *args: (passes.append(args), make(self, *args))[1])
    monkeypatch.setattr("dataflex_core.trainer.checkpoints.held", lambda trainer: pytest.fail("state is copied"))
    files, deciding = [], CheckpointTrainer.deciding
    output = tmp_path / "out"

    def watched(self):
        files.append(sorted(path.name for path in output.rglob("*") if path.is_file()))
        return deciding(self)

    monkeypatch.setattr(CheckpointTrainer, "deciding", watched)
    section = {**OFTEN, "candidates": candidates}
    args = base_args(model, data, output, max_steps=STEPS, dataloader_num_workers=2, dataflex=section)
    train(args, selector="loss")
    assert len(passes) == STEPS - 2
    assert len(started) == 2 * 2, "two workers feed training, and two the passes"
    assert files[3:] == files[3:4] * len(files[3:])
