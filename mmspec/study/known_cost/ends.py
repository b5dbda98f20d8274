r"""Where trainings that were stopped would have ended, by those that went on from the same rung to the end.

Of an objective with value v at a rung and the logarithms c of the costs, each less its mean over those that went on:

    end = b + u v + t c

by least squares with OWN more points that say u = 1 and t = 0, of the spread of all that came to the rung: of few pairs the way
from the rung to the end is taken to be the same for all. Networks of other sizes learn at another speed, hence c. The doubt is the
root mean square of what is left, half the spread at the rung counted as one more pair. Only the worse are stopped, so the line is
used beyond what it was drawn from; its doubt is what keeps it from being believed like a measurement.
"""

from __future__ import annotations

import numpy as np

from mmspec.study.known_cost.structure import Array

OWN = 2.0


def expected_end(at: Array, costs: Array, ends: Array, stopped: Array, stopped_costs: Array) -> tuple[Array, float]:
    """(expected ends [S], doubt) of one objective.

    at, ends              [N], [N], at the rung and at the end, of those that went on (N >= 1)
    stopped               [S], at the rung, of those that did not
    costs, stopped_costs  [N, C], [S, C], logarithms
    """
    x, others = np.column_stack([at, costs]), np.column_stack([stopped, stopped_costs])
    middle = x.mean(axis=0)
    spread = np.concatenate([x, others]).var(axis=0)
    start = np.eye(x.shape[1])[0]
    rest = ends - ends.mean() - (x - middle) @ start
    inverse = (x - middle).T @ (x - middle) + np.diag(OWN * spread + 1e-12)
    slopes = start + np.linalg.solve(inverse, (x - middle).T @ rest)
    left = ends - ends.mean() - (x - middle) @ slopes
    doubt = np.sqrt((left @ left + spread[0] / 4) / len(ends))
    return ends.mean() + (others - middle) @ slopes, float(doubt)
