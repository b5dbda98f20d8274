"""Every router in a file that agrees with torch; experts see their tokens only, and all of them are there."""

import pytest
import small_exports as small

import mmspec
from mmspec.deploy import load_target
from mmspec.deploy.draft import draft_of
from mmspec.deploy.file import operators
from mmspec.deploy.subject import subject_of
from mmspec.errors import UserError

ROUTERS = {
    "soft": "type: soft, experts: 3",
    "top_k": "type: top_k, experts: 3, k: 2, shared: 1, noise: true, jitter: 0.1, input: both, capacity_factor: 1.5",
    "switch": "type: switch, experts: 3, capacity: 3, drop: next",
    "expert_choice": "type: expert_choice, experts: 3, capacity_factor: 1.5",
    "hard": "type: hard",
    "learned": "type: learned, experts: 3",
    "tried": "type: learned, experts: 3, method: reinforce",
    "attention": "type: gated, heads: 2, depth: 1, attention_router: {type: top_k, experts: 3, k: 2}",
    "branches": "type: routed, branches: [{type: gated, heads: 2, depth: 1}, {type: cross_attention, heads: 2, depth: 1}]",
}


NARROW = [f"encoders.{name}.{field}" for name in ("image", "text") for field in ("width=16", "depth=1", "heads=2")]


def spec(router):
    """A router of tokens, or a whole fusion where it says so."""
    if "branches" in router or "attention_router" in router:
        return small.spec({"joint": router}, {"label": "from: joint"})
    fusion = f"{small.FUSIONS['single']}, depth: 1, router: {{{router}}}"
    return small.spec({"joint": fusion}, {"label": "from: joint"})


@pytest.mark.slow
@pytest.mark.parametrize("name", ROUTERS)
def test_it_is_exported_and_agrees_with_torch(name):
    draft = small.draft(spec(ROUTERS[name]))
    draft.check()
    parity = draft.prove()
    assert max(parity.max_error.values()) <= 1e-5
    assert parity.experts and all(min(counts) > 0 for counts in parity.experts.values())
    assert all(runs > 0 for runs in parity.idle.values())
    assert bool(parity.always) == (name in {"soft", "expert_choice", "hard"})
    names = {node.op_type for node in draft.proto.graph.node}
    assert not names & {"RandomNormalLike", "RandomUniformLike", "Einsum"}, "what is random is there in training only"
    scatters = [node for node in draft.proto.graph.node if node.op_type.startswith("Scatter")]
    assert all(
        attribute.name != "reduction" or attribute.s == b"none" for node in scatters for attribute in node.attribute
    )
    assert operators(draft.proto)["If"] == 0


@pytest.mark.slow
def test_a_task_is_an_input_of_the_file():
    draft = small.draft(mmspec.load("fusion_gated_task", NARROW))
    draft.check()
    kind = next(port for port in draft.contract.inputs if port.name == "kind")
    assert (kind.dims, kind.bound) == (("batch",), 5)
    assert max(draft.prove().max_error.values()) <= 1e-5


def test_a_router_of_zeros_is_refused_with_the_reason():
    tied = spec(ROUTERS["expert_choice"])
    subject = subject_of(tied)
    subject.state["joint.blocks.0.feed_forward.router.weight"].zero_()
    with pytest.raises(UserError, match=r"every token is a tie for joint\.blocks\.0\.feed_forward\.router"):
        draft_of(subject, load_target("edge_cpu_fp32"))
