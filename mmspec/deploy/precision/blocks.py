r"""int4 weights: in blocks of 32 along each row, sixteen levels between the least and the largest of a block.

    s = (high - low) / 15,  z = round(-low / s),  q = round(w / s) + z in 0..15        low <= 0 <= high of the block

Source   com.microsoft MatMulNBits of ONNX Runtime, which packs two weights into a byte, the first in the lower half, and at
         accuracy_level 4 makes int8 of what they meet, block by block
"""

from __future__ import annotations

import numpy as np

from mmspec.deploy.precision.layers import Layer, Site
from mmspec.packaged.held import BITS, SCALE, ZERO

BLOCK = 32
DOMAIN = "com.microsoft"


def by_blocks(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Packed integers, steps and packed zeros.
    f32[width, D] -> u8[width, blocks, 16], f32[width, blocks], u8[width, blocks / 2]"""
    width, size = weight.shape
    blocks = -(-size // BLOCK)
    padded = np.zeros((width, blocks * BLOCK), np.float32)
    padded[:, :size] = weight
    padded = padded.reshape(width, blocks, BLOCK)
    low, high = padded.min(axis=2, initial=0), padded.max(axis=2, initial=0)
    steps = np.where(high > low, (high - low) / 15, 1).astype(np.float32)
    zeros = np.rint(-low / steps).clip(0, 15)
    integers = (np.rint(padded / steps[..., None]) + zeros[..., None]).clip(0, 15)
    if blocks % 2:
        zeros = np.concatenate([zeros, np.zeros((width, 1))], axis=1)
    return packed(integers), steps, packed(zeros)


def packed(integers: np.ndarray) -> np.ndarray:
    """Two to a byte along the last axis, the first in the lower half."""
    pairs = integers.astype(np.uint8)
    return pairs[..., 0::2] | (pairs[..., 1::2] << 4)


def write(layer: Layer, weight: np.ndarray, site: Site) -> None:
    """The layer's nodes."""
    names = [f"{layer.weight}{part}" for part in (BITS, SCALE, ZERO)]
    if names[0] not in site.held:
        integers, steps, zeros = by_blocks(weight)
        site.held |= dict(zip(names, (integers, steps.reshape(-1), zeros.reshape(-1)), strict=True))
    width, size = weight.shape
    product = f"{layer.y}_product" if layer.bias else layer.y
    site.add(
        "MatMulNBits", [layer.x, *names], [product], domain=DOMAIN, K=size, N=width, bits=4, block_size=BLOCK,
        accuracy_level=4,
    )  # fmt: skip
    if layer.bias:
        site.add("Add", [product, layer.bias], [layer.y])
