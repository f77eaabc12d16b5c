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

_EQUAL = 1e40  # from which on all shares of a draw are equal to the last digit


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomParams:
    """The spread of the draw."""

    concentration: Annotated[
        float, Gt(0), Doc("of the Dirichlet distribution: 1 is uniform over the simplex, larger stays nearer to equal")
    ] = 1.0


class RandomMixer(Mixer[RandomParams]):
    """A fresh draw of proportions at each decision, from the run's own generator.

    ``p ~ Dirichlet(c, …, c)`` over the domains, with ``c`` the concentration: every domain has the share 1/K on
    average, whatever its size, with the variance ``(K − 1) / (K²(Kc + 1))``.

    When to use: as the baseline of a mixer that adapts. It moves as much as one and knows nothing.
    """

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """Differs at each decision, and not between ranks or after a resume."""
        return request.rng.dirichlet([min(self.params.concentration, _EQUAL)] * len(request.domains))
