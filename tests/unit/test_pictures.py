"""Whose rows are whose in tensors of pictures."""

from __future__ import annotations

import pytest
import torch

from dataflex_core.scoring.rules.pictures import pictures_of

IMAGE = 9


def _batch(tokens, pictures, *, masked=(), **more):
    """Samples with so many tokens of pictures each, of 8 at most, and what else there is in the batch."""
    ids = torch.tensor([[IMAGE] * count + [1] * (8 - count) for count in tokens])
    mask = torch.ones_like(ids)
    for row in masked:
        mask[row] = 0
    return {"input_ids": ids, "attention_mask": mask, "pixel_values": pictures, **more}


def _counts(layout, rows):
    shares = layout.find(torch.zeros(rows, 3))
    return None if shares is None else shares.counts


def test_pictures_of_one_size_are_counted_by_their_tokens():
    layout = pictures_of(_batch([4, 0, 2], torch.zeros(3, 3, 5, 5)), IMAGE)
    assert _counts(layout, 3) == (2, 0, 1), "as many pictures as samples"
    assert _counts(layout, 6) == (4, 0, 2)
    assert _counts(layout, 4) is None
    assert layout.witnesses == 2


def test_pictures_of_several_sizes_are_counted_by_their_patches():
    grid = torch.tensor([[1, 2, 2], [1, 2, 4], [1, 2, 2]])
    layout = pictures_of(_batch([1, 3, 0], torch.zeros(16, 7), image_grid_thw=grid), IMAGE)
    assert _counts(layout, 16) == (4, 12, 0)
    assert _counts(layout, 4) == (1, 3, 0)
    assert _counts(layout, 3) == (1, 2, 0)


def test_one_row_does_for_all_pictures():
    layout = pictures_of(_batch([4, 0, 2], torch.zeros(3, 3, 5, 5)), IMAGE)
    assert layout.repeats(torch.zeros(1, 5)) == 3
    assert layout.repeats(torch.zeros(3, 5)) == 1


def test_a_picture_that_no_loss_depends_on_is_no_witness():
    layout = pictures_of(_batch([2, 0], torch.zeros(1, 3, 5, 5), masked=[0]), IMAGE)
    assert (layout.witnesses, _counts(layout, 1)) == (0, (1, 0))


@pytest.mark.parametrize(
    "batch",
    [
        _batch([1, 3], torch.zeros(2, 3, 5, 5)),
        _batch([2, 2], torch.zeros(2, 4, 3, 5, 5)),
        _batch([2, 2], torch.zeros(2, 3, 5, 5), image_sizes=torch.ones(2, 2)),
        _batch([2, 2], torch.zeros(2, 3, 5, 5), input_features=torch.zeros(2, 4)),
        _batch([2, 2], torch.zeros(16, 7), image_grid_thw=torch.tensor([[1, 2, 2]])),
        _batch([0, 0], torch.zeros(2, 3, 5, 5)),
    ],
    ids=["part of a picture", "tiles", "cropped by tokens", "sound too", "other patches", "no tokens"],
)
def test_it_is_not_guessed(batch):
    assert _counts(pictures_of(batch, IMAGE), 2) is None


def test_without_a_token_for_pictures_nothing_is_known():
    assert _counts(pictures_of(_batch([2, 2], torch.zeros(2, 3, 5, 5)), None), 2) is None
