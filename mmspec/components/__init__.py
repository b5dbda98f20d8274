"""The components that a spec may name, one file each. Plug-ins add theirs in the entry-point group `mmspec.components`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from mmspec.components.encoders.text_transformer import TextTransformer
from mmspec.components.encoders.vit import Vit
from mmspec.components.fusion.attention import AttentionFusion
from mmspec.components.fusion.concat import ConcatFusion
from mmspec.components.fusion.cross_attention import CrossAttentionFusion
from mmspec.components.fusion.gated import GatedFusion
from mmspec.components.fusion.transformer import TransformerFusion
from mmspec.components.halting.confidence import Confidence
from mmspec.components.halting.never import Never
from mmspec.components.heads.classification import Classification
from mmspec.components.inputs import Image, Text
from mmspec.components.objectives.cross_entropy import CrossEntropy
from mmspec.components.pools import AttentionPool, FirstToken, LastToken, MaxPool, MeanPool, NoPool
from mmspec.components.positions import Learned, Learned2d, NoPosition
from mmspec.components.routers.dense import Dense
from mmspec.components.routers.top_k import TopK
from mmspec.spec import Catalogue, Component, ModelSpec
from mmspec.spec import load as load_spec

BUILT_IN: tuple[type[Component], ...] = (
    Image, Text,
    Vit, TextTransformer,
    ConcatFusion, AttentionFusion, GatedFusion, CrossAttentionFusion, TransformerFusion,
    Dense, TopK,
    Never, Confidence,
    Learned, Learned2d, NoPosition,
    MeanPool, MaxPool, FirstToken, LastToken, AttentionPool, NoPool,
    Classification,
    CrossEntropy,
)  # fmt: skip

CATALOGUE = Catalogue((*BUILT_IN, *(entry.load() for entry in entry_points(group="mmspec.components"))))


def load(path: str | Path, overrides: Sequence[str] = (), variant: str | None = None) -> ModelSpec:
    """A valid spec from a file, from the folder of a built model, or from the name of a shipped one.

    `overrides` are what `--set` takes ("fusion.joint.depth=4"), `variant` one of the spec's own.
    Raises SpecError: everything that is wrong with it, located.
    """
    if (resolved := Path(path) / "spec.yaml").is_file():
        path = resolved
    return load_spec(path, CATALOGUE, overrides=overrides, variant=variant)
