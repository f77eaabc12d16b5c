"""Updates that are made some numbers at a time come to the same as those made at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dataflex_core.scoring import influence
from dataflex_core.scoring.gradients import SampleGradients
from dataflex_core.scoring.moments import Moments

pytestmark = pytest.mark.numeric

SAMPLES, DIRECTIONS, SIZE = 5, 2, 30


@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("columns", [1, 7, SIZE])
def test_a_parameter_in_pieces_gives_what_it_gives_whole(monkeypatch, adam, columns):
    torch.manual_seed(0)
    parameter, made = nn.Parameter(torch.zeros(SIZE // 5, 5)), torch.randn(SAMPLES, SIZE // 5, 5)
    # What is iterated over may be overwritten.
    found = SampleGradients(
        known=torch.ones(SAMPLES, dtype=torch.bool),
        parts=lambda: iter([(parameter, slice(0, 3), made[:3].clone()), (parameter, slice(3, 5), made[3:].clone())]),
    )
    first, second = torch.randn(SIZE), torch.rand(SIZE)
    moments = {parameter: Moments(first=first, second=second, beta1=0.9, beta2=0.999, eps=1e-8)} if adam else None
    q = {parameter: torch.randn(DIRECTIONS, SIZE)}

    def both() -> torch.Tensor:
        return torch.cat([of(found, q, moments) for of in (influence.batch_cosines, influence.batch_products)])

    whole = both()
    monkeypatch.setitem(influence._COLUMNS, "cpu", columns)
    torch.testing.assert_close(both(), whole)
