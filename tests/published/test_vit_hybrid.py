"""The hybrid of ResNet stages and a ViT. timm's needs torchvision and transformers 4's is gone, but both of its halves are in
transformers: BiT with the norms after the convolutions, and a ViT whose patches are single places of BiT's third map."""

import pytest
import torch
from peer import agree, price
from transformers import BitBackbone, BitConfig, ViTConfig, ViTForImageClassification


class Hybrid(ViTForImageClassification):
    """The modules of ViTHybridForImageClassification by their names."""

    def __init__(self, backbone, config):
        super().__init__(config)
        self.vit.embeddings.patch_embeddings.backbone = BitBackbone(backbone)

    def forward(self, pixel_values):
        return super().forward(self.vit.embeddings.patch_embeddings.backbone(pixel_values).feature_maps[-1])


def hybrid(side, depths, widths, stem, **tokens):
    backbone = BitConfig(
        depths=depths, hidden_sizes=widths, embedding_size=stem, layer_type="bottleneck", global_padding="same",
        embedding_dynamic_padding=True, out_features=[f"stage{len(depths)}"],
    )  # fmt: skip
    return Hybrid(backbone, ViTConfig(image_size=side // 16, patch_size=1, num_channels=widths[-1], **tokens))


def small(**tokens):
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 192}
    return hybrid(64, [2, 1, 1], [128, 128, 256], 32, **sizes, **tokens)


HEAD = "heads={label: {type: classification, classes: 2, from: image.class}}"


@pytest.mark.parametrize("epsilon", [1e-6, 0.1])
def test_the_hybrid_computes_what_bit_and_a_vit_of_transformers_compute(epsilon):
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    agree(
        small(layer_norm_eps=epsilon),
        "vit_b_r50_s16",
        {"image": ("pixel_values", image)},
        {"label": "logits"},
        overrides=[HEAD, f"encoders.image.norm_eps={epsilon}"],
    )


def test_the_hybrid_costs_what_timm_s_vit_base_r50_s16_224_costs():
    price("vit_b_r50_s16", parameters=97_890_112, flops=43_069_181_952)
