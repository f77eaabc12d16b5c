"""What the hosts of several ranks know they exchange among themselves, and no device is asked."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import distributed

from dataflex_core.collectives import Ranks, between_hosts
from dataflex_core.errors import RunFailed


def _gather(tensor: torch.Tensor) -> torch.Tensor:
    pytest.fail("a device was asked")


def _ranks(*others: torch.Tensor) -> Ranks:
    """The first of several, of which the others bring, each time, what ``others`` has next."""
    left = list(others)
    accelerator = SimpleNamespace(
        process_index=0, num_processes=2, device=torch.device("meta"), gather=_gather, reduce=_gather
    )
    return Ranks(accelerator, lambda mine: torch.cat([mine, left.pop(0)]))  # type: ignore[arg-type]  # a rank's side


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, np.bool_])
def test_arrays_of_unequal_lengths_come_back_as_they_were(dtype):
    mine, other = np.arange(6).reshape(3, 2).astype(dtype), np.ones((1, 2), dtype=dtype)
    padded = torch.from_numpy(np.concatenate([other, np.zeros((2, 2), dtype=dtype)]))[None]
    found = _ranks(torch.tensor([1]), padded).gather_arrays(mine)
    for array, expected in zip(found, (mine, other), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == dtype


def test_numbers_and_digests_are_compared_without_a_device():
    assert _ranks(torch.tensor([2**62])).largest(-3) == 2**62
    assert _ranks(torch.tensor([-1])).differing(b"\xff" * 32) == []
    assert _ranks(torch.tensor([1])).differing(b"\xff" * 32) == [1]


def test_hosts_that_cannot_reach_each_other_are_told(monkeypatch):
    def failing(**kwargs):
        raise RuntimeError("Connection refused\nException raised from")

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "new_group", failing)
    with pytest.raises(RunFailed, match=r"by gloo: Connection refused") as raised:
        between_hosts(timedelta(seconds=1))
    assert "GLOO_SOCKET_IFNAME" in str(raised.value.hint)


def test_a_process_by_itself_has_no_others():
    assert between_hosts(timedelta(seconds=1)) is None
