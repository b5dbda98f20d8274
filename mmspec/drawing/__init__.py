"""What a model looks like: its graph as an SVG that a person likes to read. No torch, no layout library.

    draw(graph, profile)      inputs on the left, heads on the right; boxes by role, stacks as sheets, exits dashed

`diagram` says what is drawn, `layout` where, `svg` how.
"""

from mmspec.drawing.draw import draw

__all__ = ["draw"]
