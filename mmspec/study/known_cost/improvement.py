"""Expected hypervolume improvement of points whose objectives are exact or normally distributed, each independently.

Less is better everywhere. For a point X the improvement is the volume that it dominates and the front does not, up to the
reference r; its expectation is an integral over what is not dominated yet (Emmerich et al. 2011, written so that exact values
are the limit of a vanishing deviation):

    EHVI = int_{z not dominated, z < r}  P(X <= z) dz  =  int  prod_j P(X_j <= z_j) dz

For two objectives what is not dominated is a row of strips, below each step of the front, and with
psi_j(t) = E max(0, t - X_j) = s (u Phi(u) + phi(u)),  u = (t - m) / s:

    EHVI = sum over strips (psi_1(right) - psi_1(left)) * psi_2(height)

For more the same integral is taken over points of a Sobol sequence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import qmc

Array = NDArray[np.float64]
SAMPLES = 2048


def expected_improvement(mean: Array, deviation: Array, front: Array, reference: Array, seed: int = 0) -> Array:
    """EHVI of each row.

    mean, deviation   [N, M]; a deviation of 0 says that the value is exact
    front             [F, M], F may be 0; points that are dominated or not below the reference do no harm
    reference         [M]
    """
    objectives = len(reference)
    front = front[(front < reference).all(axis=1)]
    if objectives == 1:
        best = min([float(reference[0]), *front[:, 0].tolist()])
        return _psi(np.array([best]), mean[:, 0], deviation[:, 0])[:, 0]
    if objectives == 2:
        return _by_strips(mean, deviation, front, reference)
    return by_sampling(mean, deviation, front, reference, seed)


def _by_strips(mean: Array, deviation: Array, front: Array, reference: Array) -> Array:
    corners, height = [], float(reference[1])
    heights = [height]
    for x, y in sorted(map(tuple, front.tolist())):
        if y < height:
            corners.append(x)
            heights.append(y)
            height = y
    edges = np.array([*corners, float(reference[0])])
    across = _psi(edges, mean[:, 0], deviation[:, 0])  # [N, strips]; below the first edge everything is open
    across = np.diff(across, axis=1, prepend=0.0)
    down = _psi(np.array(heights), mean[:, 1], deviation[:, 1])
    return np.asarray((np.maximum(across, 0.0) * down).sum(axis=1))


def by_sampling(
    mean: Array, deviation: Array, front: Array, reference: Array, seed: int = 0, samples: int = SAMPLES
) -> Array:
    """For any number of objectives: over a Sobol sequence in the box between what can be hoped for and the reference."""
    low = np.minimum((mean - 3 * deviation).min(axis=0), front.min(axis=0) if len(front) else np.inf)
    low = np.minimum(low, reference)
    z = low + qmc.Sobol(len(reference), seed=seed).random(samples) * (reference - low)
    for point in front:
        z = z[~(point <= z).all(axis=1)]
    chance = np.ones((len(mean), len(z)))
    for j in range(len(reference)):
        exact = deviation[:, j] <= 0
        chance[exact] *= mean[exact, j, None] <= z[:, j]
        u = (z[:, j] - mean[~exact, j, None]) / deviation[~exact, j, None]
        chance[~exact] *= ndtr(u)
    return np.asarray(chance.sum(axis=1) * np.prod(reference - low) / samples)


def _psi(levels: Array, mean: Array, deviation: Array) -> Array:
    """E max(0, t - X) for each X (rows) and t (columns)."""
    gap = levels - mean[:, None]
    spread = np.maximum(deviation, 1e-300)[:, None]
    u = np.clip(gap / spread, -40.0, 40.0)
    smooth = spread * (u * ndtr(u) + np.exp(-0.5 * u * u) / np.sqrt(2 * np.pi))
    return np.where((deviation > 0)[:, None] & (np.abs(gap) < 40 * spread), smooth, np.maximum(gap, 0.0))
