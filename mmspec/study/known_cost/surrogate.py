r"""What an unknown value would be, with its uncertainty, learned from a few dozen points.

A Gaussian process whose kernel is a product over the columns of one plus a similarity (the ANOVA kernel of Stitson et al. 1999):

    k(x, x') = a prod_d (1 + w_d kappa_d(x_d, x'_d))
             = a (1 + sum_d w_d kappa_d + sum_{d<e} w_d w_e kappa_d kappa_e + ...)

so that each column has an effect of its own, each pair one beside that, and so on, the higher the smaller. What one point tells
of a parameter's value counts for every point with that value, however unlike the two are in all else; the usual product of
kernels (w -> infinity) learns of points only that are near in all columns, of which there are none among a few dozen in 15.

    kappa_d   of an ordered column (1 + r) exp(-r), r = sqrt(3) |x_d - x'_d|  (Matern 3/2 over a range of 1); of another 1 where
              the two are equal, else 0. A parameter that is not there (-1) is like itself alone.
    w_d, a, noise   log-normal priors; the mode of their posterior is taken, by L-BFGS with analytic gradients.

The effects of all parameters share a prior weight of EFFECTS: how many there are does not change what is believed of their sum.
A cost has COST: that what is reached goes with it is the one thing expected of any space. Values are standardised.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]
ITERATIONS = 25
JITTER = 1e-6
EFFECTS, COST = 2.0, 3.0  # prior weights: of all parameters together, of each cost
AMPLITUDE, NOISE = 0.7, 1e-2  # prior variances, in those of the values
SPREADS = 1.5, 0.7, 1.0  # deviations of the priors' logarithms: of a weight, the amplitude, the noise
ABSENT = -1.0  # in a column: the parameter is not there


class GaussianProcess:
    """Fitted once; `predict` gives mean and standard deviation of the value itself, without its noise."""

    def __init__(self, x: Array, y: Array, ordered: Sequence[bool], costs: int = 0, doubt: Array | None = None) -> None:
        """
        x, y      [N, D], [N]; a column is in [0, 1] where it is ordered, else the number of a choice; ABSENT is neither
        ordered   [D]
        costs     the last so many columns are costs
        doubt     [N], deviations of the values beyond their common noise; none by default
        """
        self.x, self.ordered, self.offset = x, ordered, float(y.mean())
        self.scale = float(y.std()) or 1.0
        z = (y - self.offset) / self.scale
        self.doubt = np.zeros(len(y)) if doubt is None else (doubt / self.scale) ** 2
        others = x.shape[1] - costs
        self.prior = np.log([*[EFFECTS / max(others, 1)] * others, *[COST] * costs, AMPLITUDE, NOISE])
        self.width = np.array([*[SPREADS[0]] * x.shape[1], *SPREADS[1:]])
        alike = np.stack([self._alike(x, d) for d in range(x.shape[1])])
        found = minimize(
            self._loss,
            np.zeros(len(self.prior)),
            (alike, z),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-5.0, 5.0)] * len(self.prior),
            options={"maxiter": ITERATIONS},
        )
        self.weights, self.amplitude, noise = self._parameters(np.asarray(found.x))
        covariance = self.amplitude * np.prod(1 + self.weights[:, None, None] * alike, axis=0)
        self.factor = cholesky(covariance + np.diag(noise + self.doubt), lower=True)
        self.solved = cho_solve((self.factor, True), z)

    def predict(self, x: Array) -> tuple[Array, Array]:
        k = np.full((len(x), len(self.x)), self.amplitude)
        for d, weight in enumerate(self.weights):
            k *= 1 + weight * self._alike(x, d)
        half = solve_triangular(self.factor, k.T, lower=True)
        variance = np.maximum(self.amplitude * np.prod(1 + self.weights) - (half**2).sum(axis=0), 1e-10)
        return self.offset + self.scale * (k @ self.solved), self.scale * np.sqrt(variance)

    def _alike(self, x: Array, d: int) -> Array:
        """kappa_d of each row and each point that was told, [N, points]."""
        a, b = x[:, d, None], self.x[None, :, d]
        if not self.ordered[d]:
            return np.asarray(a == b, dtype=float)
        r = np.sqrt(3) * np.abs(a - b)
        return np.where((a == ABSENT) != (b == ABSENT), 0.0, (1 + r) * np.exp(-r))

    def _parameters(self, u: Array) -> tuple[Array, float, float]:
        """(weights, amplitude, noise) at so many deviations from the priors' medians."""
        theta = np.exp(self.prior + self.width * u)
        return theta[:-2], float(theta[-2]), float(theta[-1]) + JITTER

    def _loss(self, u: Array, alike: Array, z: Array) -> tuple[float, Array]:
        """Negative logarithm of the posterior, and its gradient; `u` is standard normal before anything is told."""
        weights, amplitude, noise = self._parameters(u)
        parts = weights[:, None, None] * alike
        covariance = amplitude * np.prod(1 + parts, axis=0)
        factor = cholesky(covariance + np.diag(noise + self.doubt), lower=True)
        solved = cho_solve((factor, True), z)
        loss = 0.5 * z @ solved + np.log(np.diag(factor)).sum() + 0.5 * u @ u
        inner = cho_solve((factor, True), np.eye(len(z))) - np.outer(solved, solved)  # dloss/dK, twice
        slope = inner * covariance
        # dk/dlog(w_d) = k w_d kappa_d / (1 + w_d kappa_d)
        effects = 0.5 * np.einsum("ij,dij->d", slope, parts / (1 + parts))
        gradient = np.concatenate([effects, [0.5 * slope.sum(), 0.5 * (noise - JITTER) * np.trace(inner)]])
        return float(loss), gradient * self.width + u
