"""A step of writing costs what transformers computes in one, with the keys and values that it keeps."""

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import mmspec
from mmspec.cost import Sizes
from mmspec.cost.decoding import decoding


def step_of(spec, batch, **lengths):
    graph = mmspec.lower(spec)
    return decoding(spec, graph, Sizes({"B": batch, **graph.limits, **lengths}))


def counted(model, **inputs):
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**inputs)
    return counter.get_total_flops()


def bytes_of(cache):
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def decoder(name):
    if name == "gpt2_small":
        config = transformers.GPT2Config(vocab_size=99, n_positions=32, n_embd=48, n_layer=2, n_head=4)
        return transformers.GPT2LMHeadModel(config).eval()
    spec = mmspec.load(name, variant="small").resolved()
    text, encoder = spec["inputs"]["text"], spec["encoders"]["text"]
    config = transformers.LlamaConfig(
        vocab_size=text["vocab_size"], hidden_size=encoder["width"], num_hidden_layers=encoder["depth"],
        intermediate_size=encoder["hidden"], num_attention_heads=encoder["heads"], num_key_value_heads=encoder["kv_heads"],
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", ["gpt2_small", "llama_1b"])
def test_a_step_of_a_decoder_is_what_transformers_computes_with_its_cache(name, batch):
    model = decoder(name)
    before, ids = 11, torch.ones(batch, 11, dtype=torch.int64)
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True).past_key_values
    flops = counted(model, input_ids=ids[:, :1], past_key_values=cache, use_cache=True)
    step = step_of(mmspec.load(name, variant="small"), batch, N=before + 1)
    assert step.work.flops == flops
    assert step.cache == bytes_of(cache) == step.per_token * (before + 1)
    assert step.context == 0


def test_what_was_made_of_an_encoder_is_kept_and_not_computed_again():
    spec = mmspec.load("t5_base", variant="small")
    stack = spec.resolved()["decoders"]["answer"]
    config = transformers.T5Config(
        vocab_size=99, d_model=stack["width"], d_kv=stack["head_width"], d_ff=stack["hidden"], num_layers=stack["depth"],
        num_heads=stack["heads"], decoder_start_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config).eval()
    source, target = torch.ones(2, 20, dtype=torch.int64), torch.ones(2, 6, dtype=torch.int64)
    with torch.no_grad():
        first = model(input_ids=source, decoder_input_ids=target, use_cache=True)
    seen = torch.ones(2, 20, dtype=torch.int64)
    states = transformers.modeling_outputs.BaseModelOutput(first.encoder_last_hidden_state)
    cache = first.past_key_values
    flops = counted(
        model, encoder_outputs=states, attention_mask=seen, decoder_input_ids=target[:, :1], past_key_values=cache, use_cache=True
    )  # fmt: skip
    step = step_of(spec, 2, N=20, N_target=7)
    assert step.work.flops == flops
    assert step.cache == bytes_of(cache.self_attention_cache)
    assert step.context == bytes_of(cache.cross_attention_cache)


def test_one_token_of_mixtral_reads_the_weights_of_two_experts_and_computes_them():
    spec = mmspec.load("mixtral_8x7b")
    step = step_of(spec, 1, N=1)
    active = mmspec.profile(spec)["parameters.active"]
    table = 32000 * 4096  # the token's own row of it is read, and nothing multiplied
    scores = 32 * 4 * 4096  # of the token with itself, and its weight times its value, in each layer
    norms = 65 * 4096
    assert step.work.flops == 2 * (active - table - norms) + scores
    assert 4 * (active - table) < step.work.read < 4 * (active - table) * 1.01


@pytest.mark.parametrize("name", ["bert_base", "fusion_gated", "clip_vit_b32"])
def test_what_writes_no_text_has_no_step(name):
    assert step_of(mmspec.load(name), 1) is None
