"""Random proportions: the baseline that every mixer should be compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt
from typing_extensions import Doc

from dataflex_core import Mixer, MixRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomParams:
    """The spread of the draw."""

    concentration: Annotated[
        float, Gt(0), Doc("of the Dirichlet distribution: 1 is uniform over the simplex, larger stays nearer to equal")
    ] = 1.0


class RandomMixer(Mixer[RandomParams]):
    """A fresh Dirichlet(concentration · 1) draw at each decision, from the run's own generator."""

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """Differs at each decision, and not between ranks or after a resume."""
        return request.rng.dirichlet([self.params.concentration] * len(request.domains))
