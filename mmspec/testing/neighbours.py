"""The small spec that the contract puts around a component: the neighbours that its role, or its type, needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmspec.spec import Component

Data = dict[str, Any]

SMALL = {
    "width": 16,
    "heads": 2,
    "depth": 2,
    "patch_size": 4,
    "classes": 3,
    "size": 8,
    "vocab_size": 20,
    "length": 6,
    "target": "answer",
    "text": "text",
    "mask_id": 3,
    "placeholder": 7,
}
FOR_ROWS = ("relative_buckets",)  # positions that tokens on a grid cannot have
COMPARING = ("contrastive", "info_nce", "sigmoid")  # what judges a batch against itself
DECODED = {"text_decoder": ["inputs.text", "joint"]}  # what a decoder reads that does not only go on from a fusion
FOR_GRIDS: tuple[str, ...] = ("axial",)  # attention patterns that tokens in a row cannot have
FOR_FUSIONS = ("modalities",)  # and those that need several modalities in a row
FUSED = {"type": "transformer", "from": ["image", "text"], "depth": 2, "heads": 2}  # modalities in a row
BY_TASK = {"type": "task", "task": "task", "k": 2}
MASKED = {"image": {"masked": 0.5, "position": "sinusoidal_2d", "class_token": True}, "text": None}
REST = {"type": "masked_autoencoder", "from": ["image", "image.order"], "width": 8, "depth": 1, "heads": 2}
PIXELS = {"type": "pixels", "from": ["rest", "inputs.image", "image.order"]}
ALONE: Data = {"inputs": {"text": None}, "encoders": MASKED, "fusion": None, "decoders": {"rest": REST}}
IMAGE: Data = {
    "encoders": {"text": None},
    "fusion": None,
    "heads": {"label": {"from": "image"}, "other": {"from": "image"}},
}
DINO = {"type": "dino", "from": "image", "hidden": 8, "bottleneck": 8, "prototypes": 5}
TOKENS = [
    {"type": "next_token", "text": "text", "head": "label"},
    {"type": "cross_entropy", "target": "other", "head": "other"},
]
SPECTROGRAM = {"type": "spectrogram", "mels": 6, "frames": 8}
CLIP = {"type": "video", "frames": 4, "size": 8, "channels": 1}
LISTENING = {"type": "audio_transformer", "width": 12, "depth": 1, "heads": 2}
CONVOLUTION = {"type": "convolution", "width": 16, "depth": 1, "kernel": 1}
WATCHING = {"type": "video_transformer", "patch_size": 4, "width": 12, "depth": 1, "heads": 2}


def instead(name: str, read: Data, **encoders: Data) -> Data:
    """The usual spec with another input than the text, and what reads it."""
    fusion = {"joint": {"from": ["image", name]}}
    return {"inputs": {"text": None, name: read}, "encoders": {"text": None, **encoders}, "fusion": fusion}


def before_a_stage(stem: Data) -> Data:
    """What leads from one stage of a pyramid to the next."""
    stages = [{**CONVOLUTION, "width": 8}, {**CONVOLUTION, "downsample": {"written": True}}]
    return {"encoders": {"image": {"type": "pyramid", "stem": stem, "stages": stages}}}


SETTINGS: dict[
    str, Data
] = {  # by role and type, where the usual spec will not do: what differs, None for what is not there
    "decoder.text_decoder": {
        "inputs": {"target": {"type": "text", "vocab_size": 20, "length": 5, "start": 0}},
        "decoders": {"answer": {"written": True, "from": ["target", "joint"]}},
        "heads": {"label": {"from": "answer"}},
    },
    "head.language_model": {"heads": {"label": {"written": True, "from": "text"}}, "objectives": TOKENS},
    "head.masked_language_model": {"heads": {"label": {"written": True, "from": "text"}}, "objectives": TOKENS},
    "objective.next_token": {
        "heads": {
            **{name: {"type": "language_model", "vocab_size": 20, "from": "text"} for name in ("label", "other")},
            "rest": {"type": "classification", "classes": 3, "from": "joint"},
        },
        "objectives": [
            {"written": True, "head": "label"},
            {"type": "next_token", "text": "text", "head": "other"},
            {"type": "cross_entropy", "target": "rest", "head": "rest"},
        ],
    },
    "objective.masked_token": {
        "heads": {
            **{
                name: {"type": "masked_language_model", "vocab_size": 20, "from": "text"} for name in ("label", "other")
            },
            "rest": {"type": "classification", "classes": 3, "from": "joint"},
        },
        "objectives": [
            {"written": True, "head": "label"},
            {"type": "next_token", "text": "text", "head": "other"},
            {"type": "cross_entropy", "target": "rest", "head": "rest"},
        ],
    },
    "encoder.pyramid": {"encoders": {"image": {"written": True}}},
    "stage": {
        "encoders": {
            "image": {"type": "pyramid", "stem": {"type": "patches", "size": 2}, "stages": [{"written": True}]}
        }
    },
    "downsample": before_a_stage({"type": "patches", "size": 1}),
    "downsample.merge": before_a_stage({"type": "patches", "size": 2, "stride": 1}),  # seven rows and columns
    "attention.shifted_window": {"encoders": {"image": {"patch_size": 2, "depth": 2, "attention": {"written": True}}}},
    "attention.spatial_reduction": {"encoders": {"image": {"patch_size": 2, "attention": {"written": True}}}},
    "input.image": {**IMAGE, "inputs": {"image": {"written": True}, "text": None}},
    "encoder.conv_stem": {
        "encoders": {"stem": {"written": True, "from": "inputs.image"}, "image": {"from": "stem", "patch_size": 1}}
    },
    "input.category": {"inputs": {"task": {"written": True}}, "fusion": {"joint": {**FUSED, "router": BY_TASK}}},
    "input.number": {
        "inputs": {"budget": {"written": True}},
        "fusion": {"joint": {"depth": 4, "halting": {"type": "budget", "budget": "budget", "head": "label"}}},
    },
    "input.waveform": instead("sound", {"written": True}, sound=LISTENING),
    "input.spectrogram": instead("sound", {"written": True}, sound=LISTENING),
    "input.video": instead("clip", {"written": True}, clip=WATCHING),
    "encoder.log_mel": instead(
        "sound",
        {"type": "waveform", "rate": 400, "seconds": 0.1},
        mel={"written": True, "from": "inputs.sound"},
        sound={**LISTENING, "from": "mel"},
    ),
    "encoder.audio_transformer": instead("sound", SPECTROGRAM, sound={"written": True}),
    "encoder.video_transformer": instead("clip", CLIP, clip={"written": True}),
    "encoder.token_transformer": {
        "encoders": {"further": {"written": True, "from": "text"}},
        "fusion": {"joint": {"from": ["image", "further"]}},
    },
    "decoder.masked_autoencoder": {
        **ALONE,
        "decoders": {"rest": {"written": True, "from": ["image", "image.order"]}},
        "heads": {"label": {"from": "rest"}, "other": {"from": "rest"}},
    },
    "head.mean": {
        "heads": {
            "label": {"written": True, "from": ["other", "third"]},
            "third": {"type": "classification", "classes": 3, "from": "joint"},
        }
    },
    "objective.dino": {
        **IMAGE,
        "inputs": {"image": {"views": 2}, "text": None},
        "heads": {"label": DINO, "other": DINO, "taught": {**DINO, "average_of": "label"}},
        "objectives": [{"written": True, "head": "label"}, {"type": "dino", "head": "other", "teacher": "taught"}],
    },
    "head.pixels": {
        **ALONE,
        "heads": {"label": {"written": True, "from": ["rest", "inputs.image", "image.order"]}, "other": None},
        "objectives": [{"type": "masked_patches", "head": "label"}],
    },
    "objective.masked_patches": {
        **ALONE,
        "heads": {"label": PIXELS, "other": PIXELS},
        "objectives": [{"written": True, "head": "label"}, {"type": "masked_patches", "head": "other"}],
    },
}


def surround(component: type[Component], fields: Mapping[str, Any]) -> Data:
    """A small spec around a component: two modalities, a fusion, a head."""
    written = {"type": component.model_fields["type"].default, **fields}
    data: Data = {
        "name": "contract",
        "inputs": {
            "image": {"type": "image", "size": 8, "channels": 1},
            "text": {"type": "text", "vocab_size": 20, "length": 6},
        },
        "encoders": {
            "image": {"type": "vit", "patch_size": 4, "width": 16, "depth": 1, "heads": 2},
            "text": {"type": "text_transformer", "width": 12, "depth": 1, "heads": 2},
        },
        "fusion": {"joint": {"type": "cross_attention", "from": ["image", "text"], "depth": 2, "heads": 2}},
        "heads": {name: {"type": "classification", "classes": 3, "from": "joint"} for name in ("label", "other")},
        "objectives": [{"type": "cross_entropy", "head": name, "target": name} for name in ("label", "other")],
    }
    role = component.role
    if (setting := SETTINGS.get(f"{role}.{written['type']}", SETTINGS.get(role))) is not None:
        around: Data = _merged(data, setting, written)
        return around
    if written["type"] in COMPARING:
        for name in ("image", "text"):
            data["heads"][f"{name}_embedding"] = {"type": "projection", "from": name, "width": 8}
        for name in ("label", "other"):
            data["heads"][name] = {"type": "contrastive", "from": ["image_embedding", "text_embedding"]}
        data["objectives"] = [{"type": "info_nce", "head": name} for name in ("label", "other")]
        place, at = (data["heads"], "label") if role == "head" else (data["objectives"], 0)
        place[at] = {"head": "label", **written} if role == "objective" else {**data["heads"]["label"], **written}
        del data["fusion"]
    elif role == "input":
        data["inputs"]["image" if "size" in fields else "text"] = written
    elif written["type"] == "mlp":
        data["encoders"]["projector"] = {**written, "from": "text"}
        data["fusion"]["joint"]["from"] = ["image", "projector"]
    elif role == "encoder":
        data["encoders"]["image" if "patch_size" in fields else "text"] = written
    elif written["type"] == "routed":
        branches = [{"type": "gated", "depth": 1, "heads": 2}, {"type": "cross_attention", "depth": 1, "heads": 2}]
        data["fusion"]["joint"] = {"branches": branches, **written, "from": ["image", "text"]}
    elif written["type"] == "insert":
        data["fusion"]["joint"] = {**written, "from": ["text", "image", "inputs.text"]}
    elif role == "fusion":
        data["fusion"]["joint"] = {**written, "from": ["image", "text"]}
    elif role == "decoder":
        data["decoders"] = {"decoded": {**written, "from": DECODED.get(written["type"], "joint")}}
        for head in data["heads"].values():
            head["from"] = "decoded"
    elif role == "head_policy":
        data["encoders"]["text"]["head_policy"] = written
    elif role == "selection":
        data["fusion"]["joint"]["selection"] = written
    elif role == "halting":
        head = {"head": "label"} if "head" in set(component.keys()) else {}
        if written["type"] == "by_stream":
            data["fusion"]["joint"] = {**FUSED, "streams": "multi"}
        data["fusion"]["joint"] |= {"depth": 4, "halting": {**head, **written}}
        if component.names_input:
            data["inputs"][component.names_input] = {"type": "number"}
    elif role == "router":
        if "task" in set(component.keys()):
            written = {"task": "task", **written}
            data["inputs"][written["task"]] = {"type": "category", "classes": 3}
        data["fusion"]["joint"] = {**FUSED, "router": written}
    elif role == "attention" and written["type"] in FOR_FUSIONS:
        data["fusion"]["joint"] = {**FUSED, "attention": written}
    elif role in ("attention", "position"):  # a text has masks, an image is a grid
        place = (
            "text"
            if written["type"] in FOR_ROWS or (role == "attention" and written["type"] not in FOR_GRIDS)
            else "image"
        )
        data["encoders"][place][role] = written
    elif role == "pruning":  # a text has masks
        data["encoders"]["text"] |= {"depth": 3, "pruning": written}
    elif role == "pool":
        data["fusion"]["joint"]["from"] = ["text", "image"]  # tokens with a mask
        data["heads"]["label"]["pool"] = written
    elif role == "head":
        data["heads"]["label"] = {**written, "from": "joint"}
    elif role == "objective":
        data["fusion"]["joint"]["halting"] = {"type": "confidence", "head": "label"}
        data["objectives"][0] = {"head": "label", **written}
    else:
        raise AssertionError(f"a component of role {role} has no place in a small spec yet")
    return data


def _merged(usual: Any, setting: Any, written: Data) -> Any:
    """The usual spec with what a setting says instead, and the component in its place."""
    if isinstance(setting, list):
        return [_merged({}, each, written) for each in setting]
    if not isinstance(setting, dict):
        return setting
    if "written" in setting:
        return {**{key: value for key, value in setting.items() if key != "written"}, **written}
    before = usual if isinstance(usual, dict) and "type" not in setting else {}
    merged = before | {key: _merged(before.get(key), value, written) for key, value in setting.items()}
    return {key: value for key, value in merged.items() if value is not None}
