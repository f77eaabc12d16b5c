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
    """Proportions ``p_d ∝ size_d ** (1 / T)``."""

    def mix(self, request: MixRequest) -> NDArray[np.float64]:
        """The same at every decision: sizes do not change."""
        import numpy as np

        logs = np.log([max(domain.size, 1) for domain in request.domains]) / self.params.temperature
        shares: NDArray[np.float64] = np.exp(logs - logs.max())
        return shares
