"""From graphs to torch: modules, and the source of the same modules. The first room that imports torch."""

from mmspec.backend.build import build, build_graph, build_objectives, load_state

__all__ = ["build", "build_graph", "build_objectives", "load_state"]
