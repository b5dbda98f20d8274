"""What an unknown value would be, with its uncertainty, learned from a few dozen points.

A Gaussian process over the encoded parameters and the logarithms of the known costs:

    k(x, x') = a (1 + r) exp(-r),   r^2 = 3 sum_d (x_d - x'_d)^2 / l_d^2

(Matern 3/2), one length l_d per column under a log-normal prior that grows with the root of the number of columns (Hvarfner et
al. 2024, "Vanilla Bayesian optimization performs great in high dimensions"), amplitude and noise under priors as well; the
lengths maximise the posterior by L-BFGS with analytic gradients. Values are standardised.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]
ITERATIONS = 40
JITTER = 1e-6
LENGTH = 0.3  # of the logarithm of a length, beyond half that of the number of columns


class GaussianProcess:
    """Fitted once; `predict` gives mean and standard deviation of the value itself, without its noise."""

    def __init__(self, x: Array, y: Array) -> None:
        """x [N, D] in about [-1, 1], y [N]."""
        self.x, self.offset = x, float(y.mean())
        self.scale = float(y.std()) or 1.0
        z = (y - self.offset) / self.scale
        columns = x.shape[1]
        self.prior = np.array([0.5 * np.log(max(columns, 1)) + LENGTH] * columns + [0.0, np.log(1e-2)])
        self.width = np.array([1.0] * columns + [0.7, 1.0])
        difference = (x[:, None, :] - x[None, :, :]) ** 2  # [N, N, D]
        found = minimize(
            self._loss,
            self.prior,
            (difference, z),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-3.0, 6.0)] * columns + [(-3.0, 3.0), (np.log(1e-5), 0.0)],
            options={"maxiter": ITERATIONS},
        )
        best = np.exp(np.asarray(found.x))
        self.lengths, self.amplitude, self.noise = best[:-2], float(best[-2]), float(best[-1])
        covariance = self._kernel(x, x) + (self.noise + JITTER) * np.eye(len(x))
        self.factor = cholesky(covariance, lower=True)
        self.weights = cho_solve((self.factor, True), z)

    def predict(self, x: Array) -> tuple[Array, Array]:
        k = self._kernel(x, self.x)
        half = solve_triangular(self.factor, k.T, lower=True)
        variance = np.maximum(self.amplitude - (half**2).sum(axis=0), 1e-10)
        return self.offset + self.scale * (k @ self.weights), self.scale * np.sqrt(variance)

    def _kernel(self, a: Array, b: Array) -> Array:
        a, b = a / self.lengths, b / self.lengths
        square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        r = np.sqrt(3 * np.maximum(square, 0.0))
        return np.asarray(self.amplitude * (1 + r) * np.exp(-r))

    def _loss(self, theta: Array, difference: Array, z: Array) -> tuple[float, Array]:
        """Negative logarithm of the posterior of the hyperparameters' logarithms, and its gradient."""
        inverse = np.exp(-2 * theta[:-2])
        amplitude, noise = np.exp(theta[-2:])
        r = np.sqrt(3 * (difference @ inverse))
        decay = amplitude * np.exp(-r)
        covariance = decay * (1 + r)
        factor = cholesky(covariance + (noise + JITTER) * np.eye(len(z)), lower=True)
        weights = cho_solve((factor, True), z)
        away = (theta - self.prior) / self.width
        loss = 0.5 * z @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
        inner = cho_solve((factor, True), np.eye(len(z))) - np.outer(weights, weights)  # dloss/dK, twice
        # dk/dlog(l_d) = 3 a exp(-r) difference_d / l_d^2
        lengths = 1.5 * np.einsum("ij,ijd->d", inner * decay, difference) * inverse
        gradient = np.concatenate([lengths, [0.5 * (inner * covariance).sum(), 0.5 * noise * np.trace(inner)]])
        return float(loss), gradient + away / self.width
