"""A bound is below everything that it bounds, and is what the sizes of products and weights give by hand."""

import pytest

import mmspec
from mmspec import shipped
from mmspec.cost.compulsory import causal_pairs, compulsory, needed_weights
from mmspec.cost.devices import Device, Figure, Source, device
from mmspec.cost.fit import MOST, largest_batch, needed, room
from mmspec.cost.flops import Sizes
from mmspec.cost.ledger import ledger
from mmspec.cost.roofline import operation_times, peaks_of
from mmspec.cost.step import Step
from mmspec.errors import UserError


def made(memory_gb=1.0, bandwidth_gb_s=1.0, cache_mb=None, unknown=(), **peaks):
    """A device of round numbers."""
    source = Source("this test")
    figures = {"memory_gb": memory_gb, "bandwidth_gb_s": bandwidth_gb_s}
    figures |= {} if cache_mb is None else {"cache_mb": cache_mb}
    return Device(
        "made", "made", "gpu", "", (), {name: Figure(value, source) for name, value in figures.items()},
        {name: Figure(value, source) for name, value in (peaks or {"fp32": 1.0}).items()}, {}, dict.fromkeys(unknown, "nobody said"),
    )  # fmt: skip


def bound(name, on, precision="fp32", batch=1, **lengths):
    return mmspec.profile(mmspec.load(name), batch, device=on, precision=precision, **lengths).on.roofline


@pytest.mark.parametrize("prefix", [0, 1, 3, 9])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (5, 5), (3, 7), (7, 3), (8, 8)])
def test_causal_pairs_are_those_that_a_mask_allows(queries, keys, prefix):
    allowed = sum(j <= i or j < prefix for i in range(queries) for j in range(keys))
    assert causal_pairs(queries, keys, prefix) == allowed


def test_a_vision_transformer_s_bound_is_its_flops_over_the_peak_and_its_bytes_over_the_bandwidth():
    price = mmspec.profile(mmspec.load("vit_b16"), 4, device=made(fp32=2.0, bandwidth_gb_s=10.0))
    whole = price.on.roofline.whole
    assert whole.compute == pytest.approx(price["flops.total"] / 2e12, rel=1e-12)
    tables = 197 * 768 + 768  # positions and the class token, of which rows are added
    moved = 4 * (price["parameters.total"] - tables + 4 * 3 * 224 * 224 + 4 * 1000)
    assert whole.memory == pytest.approx(moved / 10e9, rel=1e-12)
    assert whole.least == max(whole.compute, whole.memory)
    assert price.on.roofline.samples_per_second == pytest.approx(4 / whole.least)


@pytest.mark.parametrize("name", shipped.names("specs"))
def test_the_bound_is_below_the_sum_over_operations_and_above_neither_side_of_the_roof(name):
    spec = mmspec.load(name).require_closed()
    for key, precision in (("h100", "bf16"), ("x86", "fp32")):
        found = mmspec.profile(spec, 2, device=key, precision=precision).on.roofline
        for each in (found.whole, *found.nodes):
            assert 0 <= each.least <= each.op_by_op * (1 + 1e-9), (name, key, each.name)
            assert 0 <= each.memory_bound_share <= 1 + 1e-9
        assert found.whole.compute == pytest.approx(sum(node.compute for node in found.nodes), rel=1e-6, abs=1e-15)
        total = sum(node.op_by_op for node in found.nodes)
        assert total <= found.whole.op_by_op * (1 + 1e-9)  # what is done to inputs belongs to no node


def test_a_device_that_is_twice_as_good_halves_the_bound():
    once, twice = bound("vit_b16", made()), bound("vit_b16", made(fp32=2.0, bandwidth_gb_s=2.0))
    assert twice.whole.least == pytest.approx(once.whole.least / 2)
    assert twice.whole.op_by_op == pytest.approx(once.whole.op_by_op / 2)
    assert twice.whole.memory_bound_share == pytest.approx(once.whole.memory_bound_share)


def test_one_sample_is_held_up_by_memory_and_many_by_arithmetic():
    on = device("h100")
    one, many = bound("vit_b16", on, "bf16"), bound("vit_b16", on, "bf16", 256)
    assert one.whole.memory_bound_share > 0.99
    assert many.whole.memory_bound_share < one.whole.memory_bound_share
    assert many.whole.compute > many.whole.memory


def test_convolutions_in_float32_are_held_to_the_peak_of_tf32_as_cudnn_runs_them():
    assert peaks_of(device("h100"), "fp32")["convolution"] == device("h100").peak("tf32")
    assert peaks_of(device("h100"), "fp32")["linear"] == device("h100").peak("fp32")
    assert len(set(peaks_of(device("h100"), "bf16").values())) == 1
    assert len(set(peaks_of(device("x86"), "fp32").values())) == 1


def test_causal_attention_is_held_to_the_pairs_that_it_may_look_at():
    price = mmspec.profile(mmspec.load("gpt2_small"), device=made())
    length = price.sizes["N"]
    attention = price.ledger.forward.attention
    assert price.on.roofline.whole.compute == pytest.approx(
        (price["flops.total"] - attention * (1 - (length + 1) / (2 * length))) / 1e12, rel=1e-9
    )


def test_a_table_that_is_also_a_head_is_read_once_and_positions_are_looked_up():
    spec = mmspec.load("gpt2_small")
    assert needed_weights(mmspec.lower(spec)) == mmspec.profile(spec)["parameters.total"] - 1024 * 768


def test_a_head_that_is_a_table_needs_the_table_once():
    price = mmspec.profile(mmspec.load("gpt2_small"), device=made())
    head = next(node for node in price.on.roofline.nodes if node.name == "next")
    assert head.memory * 1e9 == pytest.approx(4 * (50257 * 768 + 1024 * 768 + 1024 * 50257))


def test_of_experts_a_token_needs_the_weights_of_those_that_it_meets():
    spec = mmspec.load("mixtral_8x7b")
    price = mmspec.profile(spec)
    embedding = 32000 * 4096
    assert needed_weights(price.graph) == price["parameters.active"] - embedding


def test_a_cache_may_hold_a_model_from_the_run_before():
    without, some, all_of_it = (bound("vit_b16", made(cache_mb=size)).whole for size in (None, 100, 400))
    assert some.memory == pytest.approx(without.memory - 0.1)
    assert all_of_it.memory == 0
    assert all_of_it.compute == without.compute


def test_where_a_peak_is_not_known_memory_alone_is_the_bound():
    found = bound("vit_b16", made(unknown=("fp16",)), "fp16")
    assert found.whole.compute is None and found.whole.op_by_op is None
    assert found.whole.least == found.whole.memory > 0
    data = found.to_dict()
    assert data["compute_ms"] is None and data["compute_bound_share"] is None and "nobody said" in data["unknown"]


def test_fewer_bytes_a_number_move_less_and_compute_as_much():
    wide, narrow = (bound("vit_b16", made(fp32=1.0, fp16=1.0), precision) for precision in ("fp32", "fp16"))
    assert narrow.whole.compute == wide.whole.compute
    assert narrow.whole.memory == pytest.approx(wide.whole.memory / 2)


def test_operations_add_up_to_the_sum_over_operations():
    price = mmspec.profile(mmspec.load("fusion_gated"), 3, device=made())
    times = list(operation_times(price.ledger, Sizes(price.sizes), peaks_of(made(), "fp32"), made()))
    assert sum(time.seconds for time in times) == pytest.approx(price.on.roofline.whole.op_by_op)
    assert sum(time.flops for time in times) == price["flops.total"]
    assert sum(time.bytes for time in times) == price.ledger.forward.bytes


def test_inputs_and_outputs_are_compulsory():
    spec = mmspec.load("vit_b16")
    graph = mmspec.lower(spec)
    one, two = (compulsory(graph, Sizes({"B": size})) for size in (1, 2))
    assert two - one == 4 * (3 * 224 * 224 + 1000)


def test_a_step_of_writing_reads_its_weights_and_what_is_kept():
    price = mmspec.profile(mmspec.load("gpt2_small"), 3, device=made(bandwidth_gb_s=2.0), text=100)
    step, writing = price.on.roofline.step, price.decoding
    assert step.memory * 2e9 == pytest.approx(4 * (price["parameters.total"] - 1024 * 768) + writing.cache)
    assert step.compute * 1e12 == pytest.approx(writing.work.flops)
    assert bound("vit_b16", made()).step is None


def test_a_step_of_a_decoder_reads_neither_the_encoder_nor_what_made_the_context():
    price = mmspec.profile(mmspec.load("t5_base"), device=made())
    step, writing = price.on.roofline.step, price.decoding
    decoder = next(node.parameters for node in price.nodes if node.role == "decoders")
    made_once = 12 * 2 * 768 * 768  # keys and values of the encoder's output
    assert step.memory * 1e9 == pytest.approx(
        4 * (decoder - made_once + 32128 * 768) + writing.cache + writing.context, rel=1e-3
    )


def test_a_training_step_computes_what_backward_must_and_writes_what_is_trained():
    price = mmspec.profile(mmspec.load("vit_b16"), 2, device=made())
    kept = ledger(price.spec, price.graph, Sizes(price.sizes), fused=False)
    step, whole = price.on.roofline.training, price.on.roofline.whole
    assert step.compute * 1e12 == pytest.approx(price["flops.total"] + kept.backward.flops)
    assert kept.backward.flops < price.ledger.backward.flops  # which computes scores once more
    tables = 197 * 768 + 768
    assert (step.memory - whole.memory) * 1e9 == pytest.approx(4 * (price["parameters.total"] - tables))
    assert step.least <= step.op_by_op


def test_gradients_of_causal_attention_are_held_to_its_pairs_too():
    price = mmspec.profile(mmspec.load("gpt2_small"), device=made())
    kept = ledger(price.spec, price.graph, Sizes(price.sizes), fused=False)
    work, n = [kept.forward, kept.backward], price.sizes["N"]
    least = sum(each.flops - each.attention + each.attention * (n + 1) / (2 * n) for each in work)
    assert price.on.roofline.training.compute * 1e12 == pytest.approx(least, rel=1e-9)


def test_what_is_frozen_is_read_and_not_written():
    changes = [f"encoders.{name}.frozen=true" for name in ("image", "text")]
    free, frozen = (mmspec.profile(mmspec.load("fusion_concat", each), device=made()) for each in ((), changes))
    a, b = free.on.roofline.training, frozen.on.roofline.training
    assert b.compute < a.compute and b.memory < a.memory
    assert free.on.roofline.whole == frozen.on.roofline.whole


# what fits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [0, 9, 10, 11, 12, 13, 100, 1000, 12345])
def test_the_largest_batch_is_the_one_after_which_the_next_does_not_fit(allowed):
    def needs(batch):
        return 7 + 3 * batch + batch // 8

    found = largest_batch(needs, allowed)
    assert found == max([batch for batch in range(5000) if batch and needs(batch) <= allowed], default=0)


def test_what_needs_no_memory_for_a_sample_ends_the_search():
    assert largest_batch(lambda batch: 1, 2) == MOST


def test_a_larger_batch_than_the_largest_does_not_fit_and_the_largest_does():
    on = made(memory_gb=4.0)
    spec = mmspec.load("vit_b16")
    largest = mmspec.profile(spec, device=on).on.fit.largest
    assert largest > 1
    assert mmspec.profile(spec, largest, device=on).on.fit.fits
    assert not mmspec.profile(spec, largest + 1, device=on).on.fit.fits


def test_what_is_needed_are_weights_inputs_and_the_activations_that_live_at_once():
    price = mmspec.profile(mmspec.load("vit_b16"), 4, device=made())
    assert price.on.fit.needed == price["memory.peak_inference"] + 4 * 4 * 3 * 224 * 224
    assert price.on.fit.weights == price["memory.weights"]
    half = mmspec.profile(mmspec.load("vit_b16"), 4, device=made(fp16=1.0), precision="fp16").on.fit
    assert half.needed == pytest.approx(price.on.fit.needed / 2, rel=1e-3)


def test_seventy_billion_parameters_fit_on_a_card_of_141_gb_in_one_byte_each_and_not_in_two():
    spec = mmspec.load("llama_70b")
    two, one = (mmspec.profile(spec, device="h200", precision=precision).on.fit for precision in ("bf16", "fp8"))
    assert (two.fits, two.largest) == (False, 0)
    assert one.fits and one.largest >= 1
    assert two.weights == 2 * 68_976_648_192


def test_room_is_what_is_left_of_the_memory():
    allowed, held = room(made(memory_gb=10.0))
    assert allowed < 10e9 - held
    stated = Device(**{**vars(made(memory_gb=10.0)), "figures": {**made(memory_gb=10.0).figures, "held_back_gb": Figure(4.0, Source(""))}})  # fmt: skip
    assert room(stated)[1] == 4 * 10**9
    assert room(made(memory_gb=0.1))[0] == 0
    graph = mmspec.lower(mmspec.load("fusion_gated"))
    assert needed(graph, Sizes({"B": 1, **graph.limits})) > 0


@pytest.mark.parametrize(
    ("name", "precision", "batch", "message"),
    [
        ("h20", "fp32", 1, "did you mean 'h200'"),
        ("a100", "fp8", 1, "has no fp8"),
        ("h100", "fp31", 1, "no precision 'fp31', did you mean 'fp32'"),
        ("a100", "int4", 1, "a type of weights"),
        ("a100", "fp16", 0, "at least one sample, not 0"),
        ("a100", "fp16", -3, "at least one sample, not -3"),
    ],
)
def test_a_device_a_precision_or_a_batch_that_does_not_exist_is_said(name, precision, batch, message):
    with pytest.raises(UserError, match=message):
        mmspec.profile(mmspec.load("vit_b16"), batch, device=name, precision=precision)


@pytest.mark.parametrize("step", [Step(), Step(precision="bf16-autocast", checkpoint=True)])
def test_one_sample_more_than_the_largest_batch_of_a_step_does_not_fit(step):
    spec = mmspec.load("vit_b16")
    fit = mmspec.profile(spec, step=step, device="l4").on.fit
    largest = fit.training.largest
    assert fit.training.needed == mmspec.profile(spec, step=step)["memory.peak_training"]
    assert 0 < largest < fit.largest
    peaks = [mmspec.profile(spec, batch, step=step)["memory.peak_training"] for batch in (largest, largest + 1)]
    assert peaks[0] <= fit.allowed < peaks[1]
