"""Packed rows: samples are told apart by their positions, weighed apart, and laid together again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dataflex_core.scoring.targets import IGNORE, next_tokens
from dataflex_core.trainer.losses import MicroBatch
from dataflex_core.trainer.pieces import pieces_of

pytestmark = pytest.mark.numeric

# Two samples and two of filling; one that is cut before its answer, and one.
POSITIONS = torch.tensor([[0, 1, 2, 0, 1, 2, 0, 0], [0, 1, 2, 3, 0, 1, 2, 3]])
LABELS = torch.tensor([[IGNORE, 5, 6, IGNORE, IGNORE, 7, IGNORE, IGNORE], [IGNORE] * 6 + [8, 9]])
BATCH = {"position_ids": POSITIONS, "labels": LABELS}


def _micro(batch):
    targets = next_tokens(batch["labels"])
    losses = torch.arange(targets.numel(), dtype=torch.float32).reshape(targets.shape) * (targets != IGNORE)
    references = {"r": losses / 2}
    return MicroBatch(
        ids=torch.tensor([10, 11]), losses=losses, targets=targets, references=references, pieces=pieces_of(batch)
    )


def test_what_fills_a_row_up_is_no_piece_and_what_has_no_target_is_none():
    pieces = pieces_of(BATCH)
    assert (pieces.rows.tolist(), pieces.numbers.tolist()) == ([0, 0, 1], [1, 2, 2])
    assert [mask.nonzero()[:, 0].tolist() for mask in pieces.masks("cpu")] == [[0, 1, 2], [3, 4, 5], [4, 5, 6, 7]]


@pytest.mark.parametrize(
    "batch",
    [
        {"labels": LABELS},
        {"labels": LABELS, "position_ids": torch.arange(8).expand(2, 8)},
        {"labels": LABELS, "position_ids": POSITIONS.expand(3, 2, 8)},  # of three dimensions, as pictures have them
        {"labels": LABELS[1:], "position_ids": POSITIONS[1:]},
    ],
    ids=["no positions", "one sample a row", "positions of pictures", "one sample that counts"],
)
def test_rows_of_one_sample_are_left_alone(batch):
    assert pieces_of(batch) is None


def test_a_row_without_a_target_token_is_a_piece():
    pieces = pieces_of({**BATCH, "labels": torch.stack([LABELS[0], torch.full((8,), IGNORE)])})
    assert (pieces.rows.tolist(), pieces.numbers.tolist()) == ([0, 0, 1], [1, 2, 1])


def test_losses_are_by_piece_at_their_own_positions():
    micro = _micro(BATCH)
    apart = micro.apart()
    assert apart.ids.tolist() == [10, 10, 11]
    assert [mask.nonzero()[:, 0].tolist() for mask in apart.mask] == [[0, 1], [4], [5, 6]]
    for values in (apart.losses, apart.references["r"]):
        assert torch.equal(values != 0, apart.mask & (values != 0))
    assert apart.losses.sum() == micro.losses.sum()


def test_weights_of_pieces_are_spread_over_their_tokens():
    micro = _micro(BATCH)
    weights = torch.tensor([2.0, 3.0, 5.0])[:, None].expand(3, 8)
    expected = np.zeros((2, 8))
    expected[0, :2], expected[0, 4], expected[1, 5:7] = 2, 3, 5
    np.testing.assert_array_equal(micro.together(weights) * micro.mask, expected)


def test_a_sample_that_is_not_packed_keeps_its_row():
    micro = _micro({"labels": LABELS})
    assert micro.apart() is micro
    assert torch.equal(micro.together(micro.losses), micro.losses)
