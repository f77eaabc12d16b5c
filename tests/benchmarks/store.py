"""`store`: what a second run asks of a reference model that a first one has asked the same."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from support import base_args, train
from third_party import catalog

from benchmarks.bench import Bench
from benchmarks.clock import now
from benchmarks.measure import Bound, Finding, Measure, Side


def run(bench: Bench, repeats: int) -> Finding:
    """Forward passes of the reference in a second run, as a share of the first's; both with a store of their own.

    The selector is the tests' ``rho-loss``, which compares the losses of the whole pool with a reference's at each of
    two decisions. A pass is one call of the frozen model.
    """
    counts: dict[str, list[int]] = {"first": [], "second": []}
    seconds: dict[str, list[float]] = {"first": [], "second": []}
    for index in range(repeats):
        for which in counts:
            with frozen_forwards() as made, redirect_stdout(io.StringIO()):
                start = now(bench.device)
                train(
                    _arguments(bench, index, which),
                    settings=(f"selector.reference_model={bench.folder / 'model'}",),
                    catalog=catalog(),
                    selector="rho-loss",
                )
                seconds[which].append(now(bench.device) - start)
            counts[which].append(len(made))
    sides = [
        Side(label=f"{which} run", unit=unit, values=tuple(map(float, found[which])))
        for found, unit in ((counts, "forwards"), (seconds, "s"))
        for which in found
    ]
    shares = tuple(second / first for first, second in zip(*counts.values(), strict=True))
    return Finding(value=max(shares), repeats=shares, sides=tuple(sides))


@contextmanager
def frozen_forwards() -> Iterator[list[Any]]:
    """Collects the calls of causal language models none of whose parameters trains."""
    from transformers import LlamaForCausalLM

    made: list[Any] = []
    forward = LlamaForCausalLM.forward

    @functools.wraps(forward)
    def counting(model: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            made.append(model)
        return forward(model, *args, **kwargs)

    LlamaForCausalLM.forward = counting
    try:
        yield made
    finally:
        LlamaForCausalLM.forward = forward


def _arguments(bench: Bench, index: int, which: str) -> dict[str, Any]:
    cuda = bench.device.type == "cuda"
    return base_args(
        bench.folder / "model",
        bench.folder / "data",
        bench.folder / f"store-{index}-{which}",
        dataset="long_a",
        cutoff_len=128,
        lora_rank=8,
        per_device_train_batch_size=bench.scale.train_batch,
        max_steps=3,
        use_cpu=not cuda,
        bf16=cuda,
        dataflex={"warmup_steps": 1, "update_steps": 1, "store": str(bench.folder / f"store-{index}")},
    )


MEASURE = Measure(
    name="store",
    what="forward passes of a reference in a second run ÷ in the first",
    bound=Bound(value=0.0, at_most=True),
    run=run,
)
