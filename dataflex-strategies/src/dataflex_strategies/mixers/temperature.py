"""Temperature-scaled proportions (Arivazhagan et al., 2019, arXiv:1907.05019)."""

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
class TemperatureParams:
    """The temperature."""

    temperature: Annotated[float, Gt(0), Doc("1 samples in proportion to size; towards infinity, uniformly")] = 1.0


class TemperatureMixer(Mixer[TemperatureParams]):
    """Proportions ``p_d ∝ size_d ** (1 / T)``, the same at every decision.

    ``size_d`` is the number of samples of domain d. T = 1 is in proportion to size, which is what training on all data
    does; a larger T evens the domains out, towards the share 1/K for each; a T below 1 favours the large ones.

    When to use: with domains of very uneven size, languages for instance, of which the small ones would hardly be
    seen. The paper finds T = 5 good for a hundred languages. Small domains are repeated more often for it.
    """

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """The same at every decision: sizes do not change."""
        import numpy as np

        logs = np.log([max(domain.size, 1) for domain in request.domains])
        with np.errstate(over="ignore"):  # a share of zero
            shares: NDArray[np.float64] = np.exp((logs - logs.max()) / self.params.temperature)
        return shares
