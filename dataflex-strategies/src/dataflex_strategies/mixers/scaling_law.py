"""Scaling laws of a loss, fitted to what was measured: ln l = ln(exp(a - α·ln m) + exp(e)) after m samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

FEWEST = 5
"""Points that a curve of three numbers is fitted to, at least."""
_DELTA = 1e-3  # where Huber's loss of a logarithm's error ceases to be quadratic
_STEEPEST, _FLATTEST = 0.8, 0.05
_STARTS = 8


class Curve(NamedTuple):
    """The loss after m samples is exp(a)·m^-alpha + exp(e)."""

    a: float
    alpha: float
    e: float


def fit(samples: ArrayLike, losses: ArrayLike) -> Curve:
    """The curve that is nearest to ``losses`` [n] > 0 after ``samples`` [n] > 0.

    Least is the sum of Huber's losses, δ = 1e-3, of the differences of logarithms, with 0 <= α <= 0.8: what scipy's
    L-BFGS-B finds from the best points of a grid of a from -2 to 5, α from 0 to 0.7 and e from -2 to 1.5. Raises
    `ValueError` for fewer than `FEWEST` points.
    """
    import numpy as np
    from scipy.optimize import minimize  # type: ignore[import-untyped]  # no types

    x, y = np.log(np.asarray(samples, dtype=np.float64)), np.log(np.asarray(losses, dtype=np.float64))
    if len(y) < FEWEST:
        raise ValueError(f"{len(y)} points are too few for a curve of three numbers")
    middle = x.mean()  # a and α are nearly the same question where ln m is far from zero

    def missed(numbers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        level, alpha, e = numbers
        power = level - alpha * (x - middle)
        told = np.logaddexp(power, e)
        slope = np.clip(told - y, -_DELTA, _DELTA) / _DELTA
        part = np.exp(power - told)
        by_number = [slope * part, -slope * part * (x - middle), slope * (1 - part)]
        return float(_huber(told - y).sum()), np.array([pull.sum() for pull in by_number])

    axes = np.arange(-2, 5.5), np.arange(8) / 10, np.arange(-2, 1.75, 0.5)
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    errors = _huber(np.logaddexp(grid[:, :1] - grid[:, 1:2] * x, grid[:, 2:]) - y).sum(axis=1)
    starts = grid[np.argsort(errors, kind="stable")[:_STARTS]]
    starts[:, 0] -= starts[:, 1] * middle
    limits = [(None, None), (0.0, _STEEPEST), (None, None)]
    found = [minimize(missed, start, jac=True, method="L-BFGS-B", bounds=limits, options=_PRECISE) for start in starts]
    level, alpha, e = min(found, key=lambda one: one.fun).x.tolist()
    return Curve(a=level + alpha * float(middle), alpha=alpha, e=e)


_PRECISE = {"maxiter": 200, "ftol": 1e-10, "gtol": 1e-8}  # more only wanders about where a loss hardly falls


def slopes(params: ArrayLike, samples: float) -> NDArray[np.float64]:
    """How fast the loss falls with a sample after ``samples`` > 0, Float64[K]: max(α, 0.05)·exp(a)·m^-α / m.

    ``params`` [K, 3] are `Curve`s; a curve of NaN has NaN. For a single one, [3], Float64[].
    """
    import numpy as np

    a, alpha, _ = np.moveaxis(np.asarray(params, dtype=np.float64), -1, 0)
    falls: NDArray[np.float64] = np.maximum(alpha, _FLATTEST) * np.exp(a - alpha * np.log(samples)) / samples
    return falls


def _huber(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """In units of δ: the absolute error less δ/2, or a parabola within δ."""
    import numpy as np

    sizes = np.abs(errors)
    return np.where(sizes <= _DELTA, 0.5 * sizes**2 / _DELTA, sizes - 0.5 * _DELTA)
