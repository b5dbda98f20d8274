"""Every component of the catalogue keeps the contract."""

import pytest

from mmspec.components import CATALOGUE
from mmspec.components.attention.block_top_k import BlockTopK
from mmspec.components.attention.shifted_window import ShiftedWindow
from mmspec.components.encoders.conv_stem import ConvStem
from mmspec.components.encoders.log_mel import LogMel
from mmspec.components.encoders.pyramid import Pyramid
from mmspec.components.halting.confidence import Confidence
from mmspec.components.heads.dino import Dino
from mmspec.components.inputs import Category, Noise, Spectrogram, Video, Waveform
from mmspec.components.objectives.dino import DinoLoss
from mmspec.components.pools import NoPool
from mmspec.components.selection.learned import Learned
from mmspec.components.selection.top_k import TopK as SelectTopK
from mmspec.components.stages.downsample import Patches, PatchMerging
from mmspec.components.stages.mobilevit import MobileVitStage
from mmspec.spec import Component, read
from mmspec.testing import check_component, check_spec

# another value of a field, where half, twice or the next of its kind will not do
ALTERNATIVES = {
    "width": 24,
    "patch_size": 8,
    "pad": 3,
    "halting": {"type": "improvement"},
    "exits": [1, 2],
    "own_heads": True,
    "patience": 2,
    "halting_bias": -1.0,
    "act.per": "sample",
    "position": "none",
    "expansion": 2.0,
    "experts": 5,
    "k": 1,
    "task.k": 2,
    "task": "other_task",
    "dropped_at_most": 1.0,
    "target": "reply",
    "never": [4],
    "kv_heads": 1,
    "block_sparse.random": 0,
    "modalities.pairs": [["text", "image"]],
    "others": 3,
    "patch_stride": 2,
    "groups": 2,
    "phrases": [1, 4],
    "dino.teacher": "other",
    "dino.local": "other",
    "learned.grid": [3, 3],
    "area": [0.5, 1.0],
    "column": "picture",
    "masked_patches.masked": "encoders.image.masked",
    "conv_stem.kernel": 5,
    "conv_stem.widths": [8, 12],
    "conv_stem.strides": [2, 1],
    "router_every": 2,
    "attention": "linear",
    "router": "top_k",
    "placement": [0, 1, 0, 1],
    "attention_router": {"type": "top_k", "experts": 2, "k": 1},
    "taps": [1],
    "end": 5,
    "kernels": [5, 3],
    "strides": [2, 2],
    "tubelet": 2,
    "time_attention": "causal",
    "time_position": "none",
    "axes": [0],
    "pruning": {"type": "ratio", "blocks": [1]},
    "block_top_k.block": 3,
    "block_top_k.k": 2,
    "ratio.blocks": [1, 2],
    "threshold.blocks": [1, 2],
    "learned.blocks": [1, 2],
    "head_policy": {"type": "top_k", "k": 1},
    "selection": {"type": "learned", "k": 2},
    "scales": [1, 3],
    "axial.pattern": "causal",
    "downsample": {"type": "patches", "size": 2},
    "stem": {"type": "patches", "size": 2},
    "branches": [{"type": "gated", "depth": 1, "heads": 2}, {"type": "gated", "depth": 2, "heads": 2}],
    "routed.router": "learned",
    "stages": [{"type": "convnext", "width": 8, "depth": 2}],
    "depthwise": 3,
    **{f"{kind}.kernel": 5 for kind in ("convnext", "convolution", "convolutions", "inverted_residual", "mobilevit")},
    "mobilevit.patch_size": 4,
    "mobilevit.expansion": 3.0,
    "mobilevit.position": "learned",
    "transformer.position": "rotary",
    "convolutions.widths": [8, 12],
    "convolutions.strides": [1],
    "shift": 0,
    "norm_groups": 4,
    "patches.stride": 1,
    "shifted_window.pad": True,
    "merge.pad": True,
    **{
        f"{kind}.norm": "layer"
        for kind in ("conv_stem", "convolution", "convolutions", "inverted_residual", "residual")
    },
}
# what else must be said for a field to say anything
NEEDS = {"router_every": {"router": "top_k"}, "norm_eps": {"norm": "layer"}, "conv_stem.norm_eps": {}}
NEEDS |= {"temperature": {"distil": 0.5}, "ponder.temperature": {"distil": 0.5}}
NEEDS |= {
    "pyramid.norm_eps": {"final_norm": True},
    "patches.norm_eps": {},
    "norm_groups": {"norm": "group", "norm_groups": 2},
}
NEEDS |= {f"{kind}.attention_router": {"attention": "full"} for kind in ("text_decoder", "transformer")}
NEEDS |= {"dropped_at_most": {"capacity": 1, "dropped_at_most": 0.1}, "drop": {"capacity": 1}}
NEEDS |= {f"{kind}.padding": {"stride": 2} for kind in ("convolution", "residual", "inverted_residual")}
NEEDS |= {"transformer.class_token": {"attention": "full"}, "dino.warmup": {"first_temperature": 0.01}}
NEEDS |= {"shifted_window.pad": {"window": 3}, "merge.pad": {"pad": False}}
FIELDS = {
    Confidence: {"head": "label"},
    ConvStem: {"widths": [8, 8], "strides": [1, 2]},
    Category: {"classes": 3},
    Waveform: {"rate": 400, "seconds": 0.1},
    Spectrogram: {"mels": 6, "frames": 8},
    Video: {"frames": 2, "channels": 1},
    LogMel: {"mels": 4, "window": 16, "hop": 8},
    Dino: {"hidden": 8, "bottleneck": 8, "prototypes": 5},
    DinoLoss: {"teacher": "taught"},
}
FIELDS |= {
    BlockTopK: {"block": 2, "k": 1},
    SelectTopK: {"k": 4},
    Learned: {"k": 4},
    MobileVitStage: {"patch_size": 2, "token_width": 16},
    Patches: {"size": 2},
    PatchMerging: {"pad": True},
    Pyramid: {"stages": [{"type": "convnext", "width": 8, "depth": 1}, {"type": "convnext", "width": 8, "depth": 1}]},
    ShiftedWindow: {"window": 2},
}
IMPOSSIBLE = {
    NoPool: "it is an error on tokens, which the diagnostics' tests show",
    Noise: "it has as many numbers as an image has patches: test_masking",
}


@pytest.mark.parametrize(
    "component", [c for c in CATALOGUE if c not in IMPOSSIBLE], ids=lambda c: f"{c.role}-{c.__name__}"
)
def test_a_component_keeps_the_contract(component: type[Component]) -> None:
    fields = FIELDS.get(component, {})
    known = set(component.keys())
    kind = component.model_fields["type"].default
    alternatives = {key: value for key, value in ALTERNATIVES.items() if key in known}
    alternatives |= {key: ALTERNATIVES[f"{kind}.{key}"] for key in known if f"{kind}.{key}" in ALTERNATIVES}
    needs = {key: others for key, others in NEEDS.items() if key in known and others.keys() <= known}
    needs |= {key: NEEDS[f"{kind}.{key}"] for key in known if f"{kind}.{key}" in NEEDS}
    check_component(component, fields, alternatives, needs)


def test_streams_that_bear_one_name_are_told_apart() -> None:
    streams = "{type: transformer, streams: multi, heads: 2, depth: 1"
    spec = read(
        f"""
        name: same
        inputs: {{image: {{type: image, size: 8}}, text: {{type: text, length: 5}}}}
        encoders:
          image: {{type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}}
          text: {{type: text_transformer, width: 8, depth: 1, heads: 2}}
        fusion:
          joint: {streams}, from: [image, text]}}
          again: {streams}, from: [joint.image, image, joint.text]}}
          last: {{type: attention, heads: 2, from: [again, image, joint.image, joint.text]}}
        heads: {{label: {{type: classification, classes: 3}}}}
        """,
        CATALOGUE,
    )
    check_spec(spec)
