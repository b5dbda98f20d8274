"""The sampler that knows costs: only what is learned is modelled, what can be computed is computed.

    structure     which parameters there are, and when: given, or inferred from trials; points, neighbours, encoding
    pool          thousands of points with their exact prices, each priced once
    surrogate     what a training would reach, with its uncertainty
    ends          where a training that was stopped at a rung would have ended
    improvement   the hypervolume that is expected to be gained
    history       what a study's trials say
    sampler       KnownCostSampler, for any Optuna study

Importing this imports optuna and scikit-learn; `from mmspec.study import KnownCostSampler` does so when it is asked for.
"""

from mmspec.study.known_cost.sampler import KnownCostSampler
from mmspec.study.known_cost.structure import Parameter, Structure

__all__ = ["KnownCostSampler", "Parameter", "Structure"]
