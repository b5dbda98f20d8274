"""Specs whose export takes seconds, and the path from one to a file on trial."""

from mmspec.components import CATALOGUE
from mmspec.deploy import load_target
from mmspec.deploy.draft import draft_of
from mmspec.deploy.subject import subject_of
from mmspec.spec import read

FUSIONS = {
    "concat": "type: concat",
    "attention": "type: attention, heads: 2",
    "gated": "type: gated, heads: 2",
    "sequential": "type: cross_attention, heads: 2",
    "parallel": "type: cross_attention, order: parallel, heads: 2",
    "single": "type: transformer, heads: 2",
    "multi": "type: transformer, streams: multi, heads: 2",
}
EXPERTS = ", router: {type: top_k, experts: 3, k: 2}"


def spec(fusion, heads, objective="label"):
    """A picture of four patches and a text of up to six tokens; `fusion` and `heads` by name."""
    lines = [
        "name: small",
        "inputs:",
        "  image: {type: image, size: 8, channels: 1}",
        "  text: {type: text, vocab_size: 20, length: 6}",
        "encoders:",
        "  image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2, expansion: 2}",
        "  text: {type: text_transformer, width: 12, depth: 1, heads: 2, expansion: 2}",
        "fusion:",
        *(f"  {name}: {{from: [image, text], {narrow(text)}}}" for name, text in fusion.items()),
        "heads:",
        *(f"  {name}: {{type: classification, classes: 4, {text}}}" for name, text in heads.items()),
        f"objectives: [{{type: cross_entropy, head: {objective}, target: answer}}]",
    ]
    return read("\n".join(lines), CATALOGUE, origin="small.yaml")


def narrow(fusion):
    return fusion if "routed" in fusion else f"expansion: 2, {fusion}"


def leaving(head="label"):
    return f", depth: 2, halting: {{type: confidence, threshold: 0.4, head: {head}}}"


def flagship():
    """Experts and exits, and a second head that reads what a sample had at its exit."""
    return spec({"joint": FUSIONS["gated"] + EXPERTS + leaving()}, {"label": "from: joint", "mood": "from: joint"})


def every_fusion():
    """All seven side by side, one block each, every other one with experts; each has its own head."""
    fusion = {name: f"{text}, depth: 1{EXPERTS if i % 2 else ''}" for i, (name, text) in enumerate(FUSIONS.items())}
    heads = {f"{name}_label": f"from: {name}" for name in FUSIONS}
    return spec(fusion, heads, "gated_label")


def two_stacks():
    """Several streams with a readout, whose head reads one row; and tokens in a row, with their mask."""
    fusion = {"pair": FUSIONS["multi"] + leaving("label"), "row": FUSIONS["concat"] + leaving("word")}
    return spec(fusion, {"label": "from: pair", "word": "from: row, pool: max"})


def draft(spec, target="edge_cpu_fp32"):
    return draft_of(subject_of(spec), load_target(target))
