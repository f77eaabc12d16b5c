"""One of two ranks: losses and embeddings of a model that FSDP 2 shards, next to those of the whole model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from signal_support import make_samples, set_up, signals_of
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard


def main() -> None:
    folder, output = Path(sys.argv[1]), Path(sys.argv[2])
    model, optimizer, pool, targets = set_up(folder, "full")
    every = np.arange(len(pool))
    whole = _asked(signals_of(model, optimizer, pool, targets), every)
    mesh = init_device_mesh("cpu", (2,))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(p.to_local().numel() < p.numel() for p in model.parameters()), "sharded"
    sharded = _asked(signals_of(model, optimizer, pool, targets, lockstep=True), every)
    # Training goes on as if nothing had been asked.
    row = {key: torch.tensor([value]) for key, value in make_samples(1, 3)[0].items()}
    model.train()
    model(**row).loss.backward()
    assert all(p.grad is not None for p in model.parameters())
    np.savez(output / f"{torch.distributed.get_rank()}.npz", whole=whole, sharded=sharded)
    torch.distributed.destroy_process_group()


def _asked(signals, every):
    shard = signals.shard(every)
    columns = [signals.losses(shard)[:, None], signals.embeddings(shard), signals.embeddings(shard, layer=1)]
    return signals.gather(every, shard, np.concatenate(columns, axis=1))


if __name__ == "__main__":
    main()
