"""What is assumed where nothing is measured: models, machines, a sample, a run. The page tells all of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A dense decoder. ``attended`` is the width of its keys and values."""

    name: str
    parameters: float
    layers: int
    hidden: int
    inner: int
    attended: int

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA of that rank on all linear layers."""
        attention = 2 * (2 * self.hidden + self.hidden + self.attended)  # q and o, k and v
        return rank * self.layers * (attention + 3 * (self.hidden + self.inner))


MODELS = (
    Model(name="8B", parameters=8e9, layers=32, hidden=4096, inner=14336, attended=1024),
    Model(name="70B", parameters=70e9, layers=80, hidden=8192, inner=28672, attended=1024),
)
GPUS = (8, 64, 1024)
POOLS = (10**6, 10**8)

FORWARD, BACKWARD = 2, 4
"""FLOPs for a parameter and a token."""
FLOPS = 4e14
"""A GPU's, a second: two fifths of what an H100 has in bfloat16."""
BANDWIDTH = 25e9
"""Bytes a second that a rank receives where all gather."""

TOKENS, TARGET_TOKENS = 512, 256
"""Of a sample, and those of them that are targets."""
TARGETS = {"held": 500, "held-more": 500}
BATCH, STEPS, MICRO_BATCHES = 1024, 100, 4
"""Samples of an optimizer step, the steps that a decision holds for, and the micro-batches of a window."""
CANDIDATES = 4
LORA = 16


def seconds_of_steps(model: Model, gpus: int, steps: float) -> float:
    """So many plain training steps, of `BATCH` samples, on so many GPUs."""
    return steps * BATCH * TOKENS * (FORWARD + BACKWARD) * model.parameters / (gpus * FLOPS)
