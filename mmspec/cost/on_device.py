"""A price on a device: how long it takes at the least, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mmspec.cost.decoding import decoding
from mmspec.cost.devices import Device, device
from mmspec.cost.fit import Fit, fit, training_fit
from mmspec.cost.flops import Sizes
from mmspec.cost.ledger import Entry, ledger
from mmspec.cost.roofline import Roofline, number_bytes, roofline, step_bound, training_bound
from mmspec.passes import lower_objectives

if TYPE_CHECKING:
    from mmspec.cost.profile import Profile


@dataclass(frozen=True)
class OnDevice:
    roofline: Roofline
    fit: Fit
    bill: Entry  # with the bytes of the precision
    sizes: Sizes


def on_device(price: Profile, name: str | Device, precision: str = "fp32") -> OnDevice:
    """What a profile says on a device, all numbers at that precision.

    name   of a published device (`h200`), a file of the user's (`boards/ours.yaml`), or a device

    Raises   UserError: no such device, or a precision that it does not compute in.   SpecError: what is wrong with the file.
    """
    found = name if isinstance(name, Device) else device(name)
    mixed = (
        precision == "bf16-autocast"
    )  # products in bf16; what is held between them is counted in float32, which is more
    precision = "bf16" if mixed else precision
    floats = number_bytes(precision)
    found.peak(precision)  # before anything is counted
    sizes = Sizes(price.sizes, floats)
    same = floats == Sizes(price.sizes).floats
    bill = price.ledger if same else ledger(price.spec, price.graph, sizes)
    roof = roofline(bill, price.graph, sizes, found, precision)
    if writing := price.decoding if same else decoding(price.spec, price.graph, sizes):
        roof = replace(roof, step=step_bound(writing, price.graph, sizes, found, precision))
    kept = ledger(price.spec, price.graph, sizes, fused=False)
    trainable = price["parameters.trainable"]
    roof = replace(roof, training=training_bound(kept, price.graph, trainable, sizes, found, precision))
    held = ("fp32", Sizes(price.sizes).floats) if mixed else (precision, floats)
    fits = fit(price.graph, price.sizes, found, *held)
    if price.step is not None:
        losses = lower_objectives(price.spec) if price.spec.objectives else None
        fits = replace(fits, training=training_fit(price.graph, losses, price.sizes, found, price.step))
    return OnDevice(roof, fits, bill, sizes)
