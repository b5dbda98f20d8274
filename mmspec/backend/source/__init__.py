"""The stand-alone PyTorch source of a graph: the same program as its modules, for people."""

from mmspec.backend.source.program import source

__all__ = ["source"]
