"""From graphs to torch: modules, and the source of the same modules. The first room that imports torch."""

from mmspec.backend.build import build, build_graph, build_objectives, load_state, serving_form
from mmspec.backend.folder import header, read_folder, read_serving, write_folder
from mmspec.backend.source import source

__all__ = [
    "build",
    "build_graph",
    "build_objectives",
    "header",
    "load_state",
    "read_folder",
    "read_serving",
    "serving_form",
    "source",
    "write_folder",
]
