"""LLaVA of transformers: a CLIP tower, a projector and a Llama, composed from parts."""

import pytest
import torch
from peer import agree, price
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import mmspec

PLACE = 58
VISION = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "patch_size": 8}
LLAMA = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}


def reference(vision_eps=1e-5, llama_eps=1e-5):
    vision = CLIPVisionConfig(**VISION, image_size=16, layer_norm_eps=vision_eps)
    llama = LlamaConfig(**LLAMA, rms_norm_eps=llama_eps)
    return LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=llama, image_token_index=PLACE))


def inputs():
    """The image's four patches stand in a row in one text and apart in another."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, PLACE, (2, 12), generator=generator)
    ids[0, 2:6] = PLACE
    ids[1, [0, 3, 7, 11]] = PLACE
    return {"image": ("pixel_values", torch.randn(2, 3, 16, 16, generator=generator)), "text": ("input_ids", ids)}


def test_llava_computes_what_transformers_computes():
    agree(reference(), "llava_1_5_7b", inputs(), {"words": "logits"})


def test_the_epsilon_of_every_norm_of_llava_is_the_published_one():
    large = ["encoders.image.norm_eps=0.1", "decoders.language.norm_eps=0.1"]
    agree(reference(0.1, 0.1), "llava_1_5_7b", inputs(), {"words": "logits"}, overrides=large)


def test_llava_1_5_7b_costs_what_transformers_counts():
    price("llava_1_5_7b", parameters=7_063_427_072, flops=9_078_220_357_632)


def test_the_last_block_of_the_tower_is_paid_for_and_read_by_nobody():
    """As in the reference. A tower of 23 blocks without the last norm answers the same for the price of a block less."""
    whole = mmspec.profile(mmspec.load("llava_1_5_7b"))
    spared = price(
        "llava_1_5_7b",
        parameters=whole["parameters.total"] - 12 * 1024**2 - 13 * 1024 - 2 * 1024,
        overrides=["encoders.image.depth=23", "encoders.image.final_norm=false"],
    )
    tokens, width = 577, 1024
    assert whole["flops.total"] - spared["flops.total"] == 2 * tokens * 12 * width**2 + 4 * tokens**2 * width


def test_a_text_that_keeps_too_few_places_is_refused():
    given = {name: x for name, (_, x) in inputs().items()}
    given["text"][1, 7] = 1
    model = mmspec.build(mmspec.load("llava_1_5_7b", variant="small")).eval()
    with pytest.raises(ValueError, match=r"keeps 3 places \(id 58\) for 4 tokens"):
        model(**given)
