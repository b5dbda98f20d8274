"""CLIP of transformers: two towers and a temperature."""

import torch
from peer import agree, price
from transformers import CLIPConfig, CLIPModel

END = 59
TEXT = {"vocab_size": 60, "hidden_size": 16, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION = {"hidden_size": 24, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 3, "patch_size": 8}


def reference(**both):
    text = {**TEXT, "max_position_embeddings": 9, "eos_token_id": END, "projection_dim": 12, **both}
    vision = {**VISION, "image_size": 16, "projection_dim": 12, **both}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12))


def inputs():
    """Texts that end at different places; what follows is anything, another end too."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, END, (4, 9), generator=generator)
    for row, place in enumerate((8, 4, 1, 6)):
        ids[row, place] = END
    ids[2, 5] = END
    return {
        "image": ("pixel_values", torch.randn(4, 3, 16, 16, generator=generator)),
        "text": ("input_ids", ids),
    }


OUTPUTS = {"image_embedding": "image_embeds", "text_embedding": "text_embeds", "similarity": "logits_per_image"}


def test_clip_computes_what_transformers_computes():
    agree(reference(), "clip_vit_b32", inputs(), OUTPUTS)


def test_the_epsilon_of_every_norm_of_clip_is_the_published_one():
    large = [
        f"{norm}=0.1"
        for norm in ("encoders.image.norm_eps", "encoders.text.norm_eps", "heads.image_embedding.norm_eps")
    ]
    agree(reference(layer_norm_eps=0.1), "clip_vit_b32", inputs(), OUTPUTS, overrides=large)


def test_clip_vit_b32_costs_what_is_published():
    price("clip_vit_b32", parameters=151_277_313, flops=14_777_164_800)


def test_clip_vit_l14_is_the_same_spec_with_other_numbers():
    """Table 20 of the paper: 1024 channels and 24 blocks for images, 768 and 12 for texts, embeddings of 768."""
    image = ["patch_size=14", "width=1024", "depth=24", "heads=16"]
    numbers = [f"encoders.image.{said}" for said in image] + ["encoders.text.width=768", "encoders.text.heads=12"]
    numbers += [f"heads.{tower}_embedding.width=768" for tower in ("image", "text")]
    price("clip_vit_b32", parameters=427_616_513, overrides=numbers)


def test_a_batch_is_compared_with_itself():
    """Of the price of B pairs only the products of all with all, 2 B^2 D, do not grow with B."""
    one, eight = (price("clip_vit_b32", 151_277_313, batch=batch)["flops.total"] for batch in (1, 8))
    assert eight - 8 * one == 2 * 512 * (8**2 - 8)
