"""The roles a component can play: the sections of a spec, and the slots inside components.

A role has no `type`; what carries one is a component of that role (see `component.py`). A new kind of slot is a new class here or
beside its components: a subclass of Component with a `role` of its own.
"""

from typing import ClassVar

from pydantic import Field

from mmspec.spec.component import Component


class Input(Component):
    """What enters the model: an image, a text, a sound."""

    role: ClassVar[str] = "input"


class Node(Component):
    """A named piece of the model that reads inputs or other nodes."""

    from_: str | tuple[str, ...] | None = Field(
        None, alias="from", description="what it reads; each role has its default"
    )
    frozen: bool = Field(False, description="keep its weights fixed in training")
    tie: str | None = Field(None, description="a node of the same kind, whose weights it shares")
    average_of: str | None = Field(
        None,
        description="a node of the same kind: not trained itself, its weights follow the other's as a moving average",
    )


class Encoder(Node):
    """Turns one input into tokens or a vector. Reads the input of its own name unless `from` says otherwise."""

    role: ClassVar[str] = "encoder"


class Fusion(Node):
    """Brings several streams together; the first of `from` asks. Reads all encoders unless `from` says otherwise."""

    role: ClassVar[str] = "fusion"


class Decoder(Node):
    """Turns what was understood into a stream again. Reads the last fusion unless `from` says otherwise."""

    role: ClassVar[str] = "decoder"


class Head(Node):
    """What the model answers. Reads the last fusion, or the only encoder, unless `from` says otherwise."""

    role: ClassVar[str] = "head"


class Objective(Component):
    """What training minimises. Judges the only head unless `head` says otherwise."""

    role: ClassVar[str] = "objective"
    judges: ClassVar[bool] = True  # a head; False for what compares nodes
    head: str | None = Field(None, description="the head it judges; the only one by default")

    def reads(self) -> dict[str, str]:
        """What it looks at beside the head: by field, the node, part of a node or input, named as `outputs` would name it."""
        return {}


class Router(Component):
    """Which experts a token goes to."""

    role: ClassVar[str] = "router"


class Halting(Component):
    """When a stack may stop early. A policy with a `head` field applies that head, which must read this node, at every exit."""

    role: ClassVar[str] = "halting"
    needs_head: ClassVar[bool] = True  # one without works where no head reads its node


class Pool(Component):
    """How tokens become one vector."""

    role: ClassVar[str] = "pool"


SECTIONS: dict[str, type[Component]] = {
    "inputs": Input,
    "encoders": Encoder,
    "fusion": Fusion,
    "decoders": Decoder,
    "heads": Head,
    "objectives": Objective,
}
NODE_SECTIONS = ("encoders", "fusion", "decoders", "heads")
