"""GPUs and engines, as a process of its own sees them: this one stays light, and survives what crashes there."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from dataflex_cli.doctor.check import Check, State

# What training imports that metadata does not tie to the versions of others.
_TIED = ("pyarrow", "torchvision", "torchaudio")
_PROBE = f"""
import importlib, importlib.util, json, torch
from torch import distributed
imports = {{}}
for name in {_TIED}:
    try:
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    except Exception as error:
        imports[name] = f"{{type(error).__name__}}: {{error}}".splitlines()[0]
cuda = torch.cuda.is_available()
print(json.dumps({{
    "cuda": torch.version.cuda,
    "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else [],
    "gloo": distributed.is_available() and distributed.is_gloo_available(),
    "nccl": distributed.is_available() and distributed.is_nccl_available(),
    "imports": imports,
}}))
"""
_SECONDS = 600


def probe() -> dict[str, Any]:
    """What torch, DeepSpeed and the driver say; ``error``, ``imports``, ``deepspeed_error`` are imports that fail."""
    printed, error = _python(_PROBE)
    found: dict[str, Any] = json.loads(printed.splitlines()[-1]) if error is None else {"error": error}
    if importlib.util.find_spec("deepspeed") is not None:
        found["deepspeed_error"] = _python("import deepspeed")[1]
    found["driver"] = _driver()
    return found


def machine_checks(found: Mapping[str, Any]) -> Iterator[Check]:
    """Of what `probe` found."""
    if "error" in found:
        remedy = "reinstall torch: see the versions above"
        yield Check(name="torch import", state=State.PROBLEM, detail=found["error"], remedy=remedy)
        return
    for name, error in found["imports"].items():
        remedy = f"install a {name} that goes with the others: see the versions above"
        yield Check(name=f"{name} import", state=State.PROBLEM, detail=error, remedy=remedy)
    yield _gpus(found)
    for backend, who in (("gloo", "processes on CPU"), ("nccl", "processes on GPUs")):
        needed = backend == "gloo" or bool(found["devices"])
        state = State.OK if found[backend] or not needed else State.WARNING
        detail = f"{who} talk through it" if found[backend] else f"not in this torch: no {who}"
        yield Check(
            name=backend, state=state, detail=detail, remedy="" if state is State.OK else "install another torch"
        )
    if "deepspeed_error" in found:
        error = found["deepspeed_error"]
        state = State.OK if error is None else State.PROBLEM
        remedy = "" if error is None else "pip uninstall deepspeed, or mend it: accelerate imports it where it is"
        yield Check(name="deepspeed import", state=state, detail=error or "imports", remedy=remedy)


def _gpus(found: Mapping[str, Any]) -> Check:
    devices, driver = found["devices"], found["driver"]
    if devices:
        return Check(name="GPUs", state=State.OK, detail=f"{len(devices)}: {', '.join(dict.fromkeys(devices))}")
    if not driver:
        return Check(name="GPUs", state=State.OK, detail="none: training runs on the CPU")
    built = f"CUDA {found['cuda']}" if found["cuda"] else "the CPU alone"
    return Check(
        name="GPUs",
        state=State.PROBLEM,
        detail=f"the driver sees {'; '.join(driver)}, and torch, built for {built}, sees none",
        remedy="install a torch for this driver, and look at CUDA_VISIBLE_DEVICES",
    )


def _driver() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    words = [program, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()] if done.returncode == 0 else []


def _python(code: str) -> tuple[str, str | None]:
    """What it prints, and the last line of its failure. A file in the current folder is no module of it."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "", f"took more than {_SECONDS} seconds"
    if done.returncode == 0:
        return done.stdout, None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return done.stdout, lines[-1].strip() if lines else f"exit code {done.returncode}"
