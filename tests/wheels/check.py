"""Run by ``nox -s wheels`` and ``versions``, outside the tree, on the folder that ``dataflex run`` trained in."""

import importlib.metadata
import json
import platform
import sys
from pathlib import Path

import dataflex_cli
import dataflex_core
import dataflex_strategies

folder = Path(sys.argv[1])
torch = importlib.metadata.version("torch")
assert tuple(map(int, torch.split(".")[:2])) < (2, 12), f"torch {torch} is beyond the last torchaudio"
for package in (dataflex_core, dataflex_strategies, dataflex_cli):
    assert Path(package.__path__[0]).is_relative_to(sys.prefix), f"{package.__path__[0]} is not what was installed"
state = json.loads((folder / "output" / "trainer_state.json").read_text(encoding="utf-8"))
assert state["global_step"] == 5, f"{state['global_step']} steps instead of 5"
names = ("torch", "torchaudio", "torchvision", "transformers", "accelerate", "datasets", "pyarrow", "numpy")
versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
print(f"Trained {state['global_step']} steps from what was installed: Python {platform.python_version()}, {versions}")
