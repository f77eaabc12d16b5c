"""FSDP 2: what accelerate does with it on CPU, and signals of a model that it shards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import build_model

pytestmark = [pytest.mark.slow, pytest.mark.numeric]

HERE = Path(__file__).parent
ASKED = """
import sys
from pathlib import Path
import torch
from transformers import TrainingArguments
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
plugin = FullyShardedDataParallelPlugin(fsdp_version=2)
accelerator = Accelerator(cpu=True, fsdp_plugin=plugin)
Path(sys.argv[1], str(accelerator.process_index)).write_text(accelerator.distributed_type.value)
torch.distributed.destroy_process_group()
"""


def _torchrun(*words: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]


def test_accelerate_shards_nothing_on_cpu(tmp_path):
    """Why no run is tested with FSDP here: plain LLaMA-Factory trains with DDP where it is asked for on CPU."""
    script = tmp_path / "asked.py"
    script.write_text(ASKED)
    _torchrun(str(script), str(tmp_path))
    assert [(tmp_path / rank).read_text() for rank in "01"] == ["MULTI_CPU"] * 2


def test_losses_and_embeddings_of_a_sharded_model_are_those_of_the_whole(tmp_path):
    model = build_model(tmp_path / "model", seed=3)
    _torchrun(str(HERE / "fsdp_worker.py"), str(model), str(tmp_path))
    told = [np.load(tmp_path / f"{rank}.npz") for rank in (0, 1)]
    for rank in told:
        np.testing.assert_allclose(rank["sharded"], rank["whole"], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(told[0]["sharded"], told[1]["sharded"])
