"""What a spec costs, from its graph alone."""

from mmspec.cost.flops import Sizes, flops
from mmspec.cost.measured import measured_rates
from mmspec.cost.memory import peak_activations
from mmspec.cost.profile import FIGURES, NodePrice, Profile, profile

__all__ = ["FIGURES", "NodePrice", "Profile", "Sizes", "flops", "measured_rates", "peak_activations", "profile"]
