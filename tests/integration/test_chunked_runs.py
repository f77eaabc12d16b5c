"""Runs whose losses are computed without whole logits: they train as others do, in less memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import base_args, journalled, leave_dist_info, train

from dataflex_core.scoring.chunked import ChunkedLosses

pytestmark = pytest.mark.numeric

WIDE = 150_000
EVALUATED = {
    "max_steps": 4,
    "logging_steps": 1,
    "gradient_accumulation_steps": 2,
    "eval_dataset": "held",
    "eval_strategy": "steps",
    "eval_steps": 2,
    "learning_rate": 1e-3,
}


@pytest.fixture
def liger(tmp_path, monkeypatch):
    """A stand-in for Liger that, as on a CPU it would have to, replaces nothing."""
    import llamafactory.train.tuner  # noqa: F401  # what it imports would take the stand-in for the real one

    package = tmp_path / "site" / "liger_kernel"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    source = "def apply_liger_kernel_to_llama(rope=True, fused_linear_cross_entropy=True):\n    pass\n"
    (package / "transformers.py").write_text(source, encoding="utf-8")
    leave_dist_info(package.parent, {"name": "liger-kernel", "version": "0.5.5", "entry-points": {"dataflex": {}}})
    monkeypatch.syspath_prepend(package.parent)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "liger_kernel"]:
        del sys.modules[name]


def _log(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [row[key] for row in history for key in ("loss", "grad_norm", "eval_loss") if key in row]


def test_with_ligers_kernels_a_weighter_trains_and_evaluates_in_pieces(model, data, tmp_path, liger, monkeypatch):
    expected = _log(train(base_args(model, data, tmp_path / "whole", **EVALUATED), weighter="loss"))
    trains = []
    during = ChunkedLosses.during

    def watched(self, model, targets, places):
        trains.append(model.training)
        return during(self, model, targets, places)

    monkeypatch.setattr(ChunkedLosses, "during", watched)
    args = base_args(model, data, tmp_path / "pieces", enable_liger_kernel=True, **EVALUATED)
    output = train(args, weighter="loss")
    assert _log(output) == pytest.approx(expected, rel=1e-4)
    assert trains.count(True) == (4 + 2) * 2, "each step, and after the warm-up what is measured before it"
    assert trains.count(False) == 3, "evaluations"
    assert journalled(output)[0]["config"]["chunked_loss"] == "auto"


_CHILD = """
import json, sys
from pathlib import Path
import llamafactory.train.tuner
from support import train

def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])

before = kib("VmRSS")
train(json.loads(sys.argv[1]), weighter="loss")
print("peak", kib("VmHWM") - before)
"""


def _peak(args):
    """The most memory that a run ever takes, in bytes, beside what is imported for it."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, json.dumps(args)],
        # Without the second glibc keeps what is freed, and a peak is not of what lives at one time.
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "MALLOC_MMAP_THRESHOLD_": "1000000"},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.rpartition("peak ")[2]) * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of a process from Linux")
def test_a_large_vocabulary_trains_within_a_bound_that_whole_logits_break(data, tmp_path):
    from support import build_model
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = build_model(tmp_path / "model")
    config = AutoConfig.from_pretrained(folder, vocab_size=WIDE, hidden_size=8, intermediate_size=8, head_dim=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokens = {"per_device_train_batch_size": 8, "cutoff_len": 256, "packing": True}
    common = {**tokens, "max_steps": 2, "lora_target": "q_proj"}

    def peak(name, **section):
        return _peak(base_args(folder, data, tmp_path / name, **common, dataflex={"warmup_steps": 0, **section}))

    logits = 8 * 256 * WIDE * 4
    pieces, whole = peak("pieces"), peak("whole", chunked_loss=False)
    assert pieces < logits / 2, "the bound"
    assert whole > 2 * logits
