"""The components that a spec may name, one file each. Plug-ins add theirs in the entry-point group `mmspec.components`.

Each is imported when a spec first names it: a command that reads one spec does not wait for the whole field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmspec.spec import Catalogue, Component, ModelSpec, Place
from mmspec.spec import load as load_spec

BUILT_IN = {
    "input": {
        "image": "inputs:Image",
        "noise": "inputs:Noise",
        "category": "inputs:Category",
        "number": "inputs:Number",
        "text": "inputs:Text",
        "waveform": "inputs:Waveform",
        "spectrogram": "inputs:Spectrogram",
        "video": "inputs:Video",
    },
    "encoder": {
        "vit": "encoders.vit:Vit",
        "pyramid": "encoders.pyramid:Pyramid",
        "conv_stem": "encoders.conv_stem:ConvStem",
        "text_transformer": "encoders.text_transformer:TextTransformer",
        "hierarchical_text": "encoders.hierarchical_text:HierarchicalText",
        "embedding": "encoders.embedding:Embedding",
        "mlp": "encoders.mlp:Mlp",
        "log_mel": "encoders.log_mel:LogMel",
        "audio_transformer": "encoders.audio_transformer:AudioTransformer",
        "token_transformer": "encoders.token_transformer:TokenTransformer",
        "video_transformer": "encoders.video_transformer:VideoTransformer",
    },
    "stage": {
        "transformer": "stages.transformer:TransformerStage",
        "convnext": "stages.convnext:ConvNextStage",
        "residual": "stages.residual:ResidualStage",
        "inverted_residual": "stages.inverted_residual:InvertedResidualStage",
        "mobilevit": "stages.mobilevit:MobileVitStage",
        "convolution": "stages.convolutional:ConvolutionStage",
    },
    "downsample": {
        "patches": "stages.downsample:Patches",
        "merge": "stages.downsample:PatchMerging",
        "convolutions": "stages.convolutional:Convolutions",
        "inverted_residual": "stages.inverted_residual:InvertedResidualDownsample",
        "none": "stages.base:NoDownsample",
    },
    "fusion": {
        "concat": "fusion.concat:ConcatFusion",
        "attention": "fusion.attention:AttentionFusion",
        "gated": "fusion.gated:GatedFusion",
        "cross_attention": "fusion.cross_attention:CrossAttentionFusion",
        "transformer": "fusion.transformer:TransformerFusion",
        "insert": "fusion.insert:InsertFusion",
        "routed": "fusion.routed:RoutedFusion",
    },
    "decoder": {
        "text_decoder": "decoders.text_decoder:TextDecoder",
        "transformer": "decoders.transformer:TransformerDecoder",
        "masked_autoencoder": "decoders.masked_autoencoder:MaskedAutoencoder",
    },
    "router": {
        "dense": "routers.dense:Dense",
        "top_k": "routers.top_k:TopK",
        "top_p": "routers.top_p:TopP",
        "switch": "routers.switch:Switch",
        "soft": "routers.soft:Soft",
        "expert_choice": "routers.expert_choice:ExpertChoice",
        "hard": "routers.hard:Hard",
        "task": "routers.task:Task",
        "learned": "routers.learned:Learned",
    },
    "halting": {
        "none": "halting.never:Never",
        "confidence": "halting.confidence:Confidence",
        "entropy": "halting.entropy:Entropy",
        "improvement": "halting.improvement:Improvement",
        "patience": "halting.patience:Patience",
        "ponder": "halting.ponder:Ponder",
        "budget": "halting.budget:Budget",
        "act": "halting.act:Act",
        "by_stream": "halting.by_stream:ByStream",
    },
    "attention": {
        "full": "attention.dense:Full",
        "causal": "attention.dense:Causal",
        "prefix": "attention.prefix:Prefix",
        "window": "attention.window:Window",
        "dilated": "attention.dilated:Dilated",
        "global": "attention.global_tokens:GlobalTokens",
        "modalities": "attention.modalities:Modalities",
        "block_sparse": "attention.block_sparse:BlockSparse",
        "block_top_k": "attention.block_top_k:BlockTopK",
        "linear": "attention.linear:Linear",
        "random": "attention.random_pairs:Random",
        "top_k": "attention.top_k:TopK",
        "entmax": "attention.entmax:Entmax",
        "shifted_window": "attention.shifted_window:ShiftedWindow",
        "spatial_reduction": "attention.spatial_reduction:SpatialReduction",
        "axial": "attention.axial:Axial",
    },
    "position": {
        "learned": "positions.absolute:Learned",
        "learned_2d": "positions.absolute:Learned2d",
        "sinusoidal": "positions.absolute:Sinusoidal",
        "sinusoidal_2d": "positions.absolute:Sinusoidal2d",
        "convolutional": "positions.convolutional:Convolutional",
        "relative_bias": "positions.relative:RelativeBias",
        "relative_buckets": "positions.relative:RelativeBuckets",
        "rotary": "positions.relative:Rotary",
        "none": "positions.absolute:NoPosition",
    },
    "pruning": {
        "none": "pruning.never:KeepAll",
        "ratio": "pruning.ratio:Ratio",
        "threshold": "pruning.threshold:Threshold",
        "learned": "pruning.learned:Learned",
    },
    "head_policy": {
        "none": "head_policies.every:EveryHead",
        "top_k": "head_policies.top_k:TopK",
    },
    "selection": {
        "none": "selection.everything:Everything",
        "top_k": "selection.top_k:TopK",
        "learned": "selection.learned:Learned",
    },
    "pool": {
        "mean": "pools:MeanPool",
        "max": "pools:MaxPool",
        "query": "query_pool:QueryPool",
        "first": "pools:FirstToken",
        "last": "pools:LastToken",
        "temporal_pyramid": "pools:TemporalPyramid",
        "attention": "pools:AttentionPool",
        "none": "pools:NoPool",
    },
    "head": {
        "classification": "heads.classification:Classification",
        "projection": "heads.projection:Projection",
        "contrastive": "heads.contrastive:Contrastive",
        "language_model": "heads.language_model:LanguageModel",
        "masked_language_model": "heads.masked_language_model:MaskedLanguageModel",
        "mean": "heads.mean:MeanOfHeads",
        "dino": "heads.dino:Dino",
        "pixels": "heads.pixels:Pixels",
    },
    "objective": {
        "cross_entropy": "objectives.cross_entropy:CrossEntropy",
        "next_token": "objectives.next_token:NextToken",
        "masked_token": "objectives.masked_token:MaskedToken",
        "info_nce": "objectives.contrast:InfoNce",
        "sigmoid": "objectives.contrast:PairwiseSigmoid",
        "masked_patches": "objectives.masked_patches:MaskedPatches",
        "dino": "objectives.dino:DinoLoss",
    },
}


def _plugins() -> Iterator[type[Component]]:
    from importlib.metadata import entry_points

    return (entry.load() for entry in entry_points(group="mmspec.components"))


CATALOGUE = Catalogue(
    (Place(role, name, f"{__name__}.{at}") for role, types in BUILT_IN.items() for name, at in types.items()), _plugins
)


def load(path: str | Path, overrides: Sequence[str] = (), variant: str | None = None) -> ModelSpec:
    """A valid spec from a file, from the folder of a built model, or from the name of a shipped one.

    `overrides` are what `--set` takes ("fusion.joint.depth=4"), `variant` one of the spec's own.
    Raises SpecError: everything that is wrong with it, located.
    """
    if (resolved := Path(path) / "spec.yaml").is_file():
        path = resolved
    return load_spec(path, CATALOGUE, overrides=overrides, variant=variant)
