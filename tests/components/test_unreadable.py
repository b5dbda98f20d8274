"""Each component that is handed another kind of value than it reads says what it reads and what it was handed, at that line."""

import pytest

import mmspec
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read

INPUTS = {
    "image": ("{type: image, size: 16}", r"a map f32\[B, 3, 16, 16\]"),
    "text": ("{type: text, length: 9}", r"token ids i64\[B, N\]"),
    "sound": ("{type: waveform, rate: 1000, seconds: 1}", r"a sound f32\[B, 1000\]"),
    "mel": ("{type: spectrogram, mels: 16, frames: 32}", r"a map f32\[B, 1, 16, 32\]"),
    "clip": ("{type: video, frames: 4, size: 16}", r"a clip f32\[B, 4, 3, 16, 16\]"),
    "noise": ("{type: noise, length: 7}", r"a vector f32\[B, 7\]"),
}
MAPS, VECTORS = {"image", "mel"}, {"sound", "noise"}
READ = {  # what it is written with, and which inputs it reads
    "encoders": {
        "vit": ("patch_size: 4", MAPS),
        "conv_stem": ("strides: [2], widths: [4]", MAPS),
        "pyramid": ("stages: [{type: convnext}]", MAPS),
        "audio_transformer": ("depth: 1", MAPS | {"sound"}),
        "log_mel": ("mels: 8, window: 100, hop: 50", {"sound"}),
        "video_transformer": ("patch_size: 4", {"clip"}),
        "text_transformer": ("depth: 1", {"text"}),
        "hierarchical_text": ("depth: 1", {"text"}),
        "embedding": ("width: 8", {"text"}),
        "token_transformer": ("depth: 1", set()),
        "mlp": ("width: 8", VECTORS),
    },
    "heads": {
        "classification": ("classes: 3", VECTORS),
        "projection": ("width: 8", VECTORS),
        "dino": ("prototypes: 8", VECTORS),
        "language_model": ("vocab_size: 5", set()),
    },
}
CASES = [(section, kind) for section, kinds in READ.items() for kind in kinds]


@pytest.mark.parametrize(("section", "kind"), CASES)
@pytest.mark.parametrize("given", INPUTS)
def test_what_is_no_input_of_a_component_is_told_as_what_it_is(section, kind, given):
    fields, readable = READ[section][kind]
    written, told = INPUTS[given]
    text = f"name: t\ninputs: {{x: {written}}}\n{section}: {{e: {{type: {kind}, from: x, {fields}}}}}\n"
    spec = read(text + ("outputs: [e]\n" if section == "encoders" else ""), CATALOGUE)
    if given in readable:
        mmspec.lower(spec)
        return
    place = rf"(?s:.*):3:{text.splitlines()[2].index('x, ') + 1}\n"
    with pytest.raises(SpecError, match=rf"an? {kind}( head)? reads .*, and (this|x) is {told}{place}"):
        mmspec.lower(spec)
