"""A training step or a forward pass, gone through with tensors that have shapes and no numbers.

The operations' own torch forms (`Primitive.run`, `mmspec.backend.runtime`) are run against a stand-in for torch, which knows of
each of torch's functions what it allocates, what it keeps for its backward and what its backward allocates. Who holds what is
decided as in torch: by who still refers to it. Imports no torch.
"""

from mmspec.cost.rehearsal.dtypes import BF16, DTYPES, F32, Dtype
from mmspec.cost.rehearsal.engine import backward
from mmspec.cost.rehearsal.model import Model, examples, outputs_of
from mmspec.cost.rehearsal.state import Meter, NoRule, Place, rehearsing
from mmspec.cost.rehearsal.tensor import Tensor, new

__all__ = [
    "BF16",
    "DTYPES",
    "F32",
    "Dtype",
    "Meter",
    "Model",
    "NoRule",
    "Place",
    "Tensor",
    "backward",
    "examples",
    "new",
    "outputs_of",
    "rehearsing",
]
