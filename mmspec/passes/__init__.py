"""From a spec to its graph, and from graph to graph."""

from mmspec.passes.lower import lower, lower_objectives

__all__ = ["lower", "lower_objectives"]
