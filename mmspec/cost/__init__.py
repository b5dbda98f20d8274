"""What a spec costs, from its graph alone."""

from mmspec.cost.flops import Sizes, flops
from mmspec.cost.measured import Measured, measured
from mmspec.cost.memory import peak_activations
from mmspec.cost.nodes import NodePrice
from mmspec.cost.profile import FIGURES, Profile, profile

__all__ = ["FIGURES", "Measured", "NodePrice", "Profile", "Sizes", "flops", "measured", "peak_activations", "profile"]
