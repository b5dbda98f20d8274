"""The price of a spec as one HTML page that opens offline."""

from mmspec.drawing.price.page import render
from mmspec.drawing.price.roofs import Roof

__all__ = ["Roof", "render"]
