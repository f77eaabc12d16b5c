"""How often two ranks wait for their devices: once a logging step, and once a pass, as one by itself does."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import socket
from collections import Counter

import pytest
import torch
from host_reads import host_reads
from support import base_args, of_kind, train

pytestmark = [
    pytest.mark.numeric,
    pytest.mark.skipif(torch.cuda.is_available(), reason="a process that knows a GPU cannot be forked"),
]

STEPS, EVERY, WARMUP = 9, 3, 2
LOGGED = STEPS // EVERY
CASES = {
    "a plan": ({"selector": "random"}, {}, {"_read": LOGGED}),
    "stock's order, weighed": ({"weighter": "loss"}, {"gradient_accumulation_steps": 2}, {"_read": LOGGED}),
    "losses at every step": (
        {"selector": "loss", "mixer": "random"},
        {"dataflex": {"update_steps": 1, "candidates": 4}},
        {"_read": LOGGED + STEPS - WARMUP},
    ),
}


@pytest.mark.parametrize(
    ("strategies", "changes", "expected"),
    [pytest.param(*case, id=name, marks=[pytest.mark.slow] if case[1] else []) for name, case in CASES.items()],
)
def test_two_ranks_read_once_a_logging_step(model, data, tmp_path, strategies, changes, expected):
    args = base_args(
        model, data, tmp_path / "out", max_steps=STEPS, logging_steps=EVERY, per_device_train_batch_size=2, **changes
    )

    def rank(number: int, port: int) -> None:
        here = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
        os.environ.update({key: str(value) for key, value in here.items()}, MASTER_ADDR="127.0.0.1")
        torch.set_num_threads(1)  # a fork has none of the threads that its parent computed with, and waits for them
        _forget_the_parents_world()
        events: list[dict] = []
        with host_reads("dataflex_core", "dataflex_strategies") as found:
            train(args, events=events, **strategies)
        told = {"places": found.places, "samples": [event["samples"] for event in of_kind(events, "step")]}
        (tmp_path / f"{number}.json").write_text(json.dumps(told))

    _forked(rank, 2)
    told = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)]
    for each in told:
        assert Counter(place.split(".")[-1].split(":")[0] for place in each["places"]) == expected
    batch = 4 * changes.get("gradient_accumulation_steps", 1)
    assert [len(set(samples)) for samples in told[0]["samples"]] == [batch] * STEPS


def _forked(rank, world: int) -> None:
    """Has ``world`` processes call ``rank``: forked, so that nothing heavy is imported once more."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    importlib.import_module("llamafactory.train.tuner")
    context = multiprocessing.get_context("fork")
    started = [context.Process(target=rank, args=(number, port)) for number in range(world)]
    for process in started:
        process.start()
    try:
        for process in started:
            process.join(400)
        assert [process.exitcode for process in started] == [0] * world
    finally:
        for process in started:
            process.kill()


def _forget_the_parents_world() -> None:
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
