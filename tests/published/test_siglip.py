"""SigLIP of transformers: towers without class tokens, a query that pools, a bias beside the temperature."""

import torch
from peer import agree, price
from transformers import SiglipConfig, SiglipModel

SIZES = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3}
OUTPUTS = {"image_embedding": "image_embeds", "text_embedding": "text_embeds", "similarity": "logits_per_image"}


def reference(**both):
    text = {**SIZES, "vocab_size": 60, "max_position_embeddings": 9, **both}
    return SiglipModel(
        SiglipConfig(text_config=text, vision_config={**SIZES, "image_size": 16, "patch_size": 8, **both})
    )


def inputs():
    generator = torch.Generator().manual_seed(1)
    return {
        "image": ("pixel_values", torch.randn(4, 3, 16, 16, generator=generator)),
        "text": ("input_ids", torch.randint(0, 60, (4, 9), generator=generator)),
    }


def test_siglip_computes_what_transformers_computes():
    agree(reference(), "siglip_base", inputs(), OUTPUTS)


def test_the_epsilon_of_every_norm_of_siglip_is_the_published_one():
    nodes = ("encoders.image", "encoders.text", "heads.image_embedding.pool")
    large = [f"{node}.norm_eps=0.1" for node in nodes]
    agree(reference(layer_norm_eps=0.1), "siglip_base", inputs(), OUTPUTS, overrides=large)


def test_siglip_base_costs_what_transformers_counts():
    price("siglip_base", parameters=203_155_970, flops=46_440_396_288)
