"""What is remembered from one spec to the next changes no answer, and goes when it is not needed."""

import gc
import random
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from random_specs import fusion, halting, random_data, random_spec, router
from small_spec import small_spec

import mmspec
from mmspec import shipped
from mmspec.components import CATALOGUE
from mmspec.ir import Graph, Scope, Value
from mmspec.ir.found import LIMIT
from mmspec.passes import lower, lower_objectives, lower_serving
from mmspec.passes.remembering import signature
from mmspec.spec import ModelSpec, SpecError, read
from mmspec.spec.memory import Memory


def everything(graph: Graph) -> Any:
    """All that a graph says, its values by number."""
    numbers: dict[int, int] = {}

    def number(value: Value | None) -> Any:
        if value is None:
            return None
        if id(value) not in numbers:
            numbers[id(value)] = len(numbers)
            function = None if value.function is None else everything(value.function)
            known = value.name, value.shape, value.dtype, value.bound, value.optional, value.rate, function
            return numbers[id(value)], known, number(value.mask)
        return numbers[id(value)]

    return (
        graph.name, graph.doc, graph.notes, dict(graph.arguments), dict(graph.limits), sorted(graph.training), graph.whole,
        [number(value) for value in graph.inputs],
        [
            (op.kind, op.name, [number(value) for value in (*op.inputs, *op.outputs)], dict(op.attributes), op.parameters,
             [everything(body) for body in op.bodies])
            for op in graph.ops
        ],
        [(name, number(value)) for name, value in graph.outputs.items()],
    )  # fmt: skip


def answers(spec: ModelSpec) -> Any:
    """What can be said of a spec without torch; or what is wrong with it."""
    try:
        graph = lower(spec)
        figures = mmspec.profile(spec, batch=2).to_dict()
        return (
            everything(graph),
            str(graph),
            figures,
            everything(lower_serving(spec)),
            everything(lower_objectives(spec)),
        )
    except SpecError as error:
        return str(error)


def changed(spec: ModelSpec, change: dict[str, Any]) -> ModelSpec | str:
    try:
        return spec.choose(change)
    except SpecError as error:
        return str(error)


def change_of(draw: random.Random, data: dict[str, Any]) -> dict[str, Any]:
    """One or two values of a spec, anew; some of them do not fit."""
    found: dict[str, Any] = {}
    for _ in range(draw.choice([1, 1, 2])):
        name = draw.choice(list(data["encoders"]))
        choices: list[tuple[str, Any]] = [
            (f"encoders.{name}.depth", draw.choice([1, 2, 3])),
            (f"encoders.{name}.width", draw.choice([4, 8, 12])),
            (f"encoders.{name}.router", router(draw)),
            (f"encoders.{name}.frozen", draw.choice([True, False])),
            ("heads.label.classes", draw.choice([2, 5])),
            ("heads.label.pool", draw.choice(["mean", "max", "attention"])),
            ("inputs.text.length", draw.choice([3, 5])),
            ("inputs.text.vocab_size", draw.choice([9, 50])),
            ("inputs.image.channels", draw.choice([1, 3])),
            ("outputs", draw.choice([[], [name], ["joint"]])),
            ("heads.label.from", draw.choice([*data["encoders"], "joint"])),
        ]
        if "fusion" in data:
            joint = data["fusion"]["joint"]
            choices += [
                ("fusion.joint.depth", draw.choice([1, 2, 3])),
                ("fusion.joint.width", draw.choice([4, 8])),
                ("fusion.joint.router", router(draw)),
                ("fusion.joint.halting", halting(draw, max(2, joint["depth"]), joint.get("streams") == "multi")),
                ("fusion.joint", fusion(draw, list(data["encoders"]))),
            ]
        path, value = draw.choice(choices)
        found[path] = value
    return found


@pytest.mark.parametrize("seed", range(60))
def test_after_any_changes_a_spec_means_and_costs_what_it_does_to_who_remembers_nothing(seed: int) -> None:
    draw, data = random.Random(seed), random_data(seed)
    warm, cold = random_spec(seed), random_spec(seed)
    for _ in range(6):
        change = change_of(draw, data)
        cold.memory.clear()
        after, afresh = changed(warm, change), changed(cold, change)
        if isinstance(after, str) or isinstance(afresh, str):
            assert after == afresh
            continue
        warm, cold = after, afresh
        assert warm == cold
        assert answers(warm) == answers(cold)


def test_a_space_costs_the_same_in_any_order_and_from_any_spec_of_the_family() -> None:
    spec = read(small_spec(), CATALOGUE)
    points = [
        {"fusion.joint.depth": depth, "encoders.image.width": width, "heads.label.classes": classes}
        for depth in (1, 2) for width in (8, 16) for classes in (3, 12)
    ]  # fmt: skip
    alone = []
    for point in points:
        fresh = read(small_spec(), CATALOGUE).choose(point)
        alone.append(mmspec.profile(fresh).to_dict())
    assert [mmspec.profile(spec.choose(point)).to_dict() for point in points] == alone
    assert [mmspec.profile(spec.choose(point)).to_dict() for point in reversed(points)] == alone[::-1]
    for point in points:  # each chosen from the one before
        spec = spec.choose(point)
    assert mmspec.profile(spec).to_dict() == alone[-1]


def test_specs_may_be_priced_in_several_threads() -> None:
    spec = read(small_spec(), CATALOGUE)
    points = [
        {"fusion.joint.depth": depth, "encoders.text.width": 8 * width} for depth in (1, 2) for width in range(1, 5)
    ]
    alone = [mmspec.profile(read(small_spec(), CATALOGUE).choose(point)).to_dict() for point in points]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda point: mmspec.profile(spec.choose(point)).to_dict(), points * 4))
    assert found == alone * 4


def test_a_node_that_is_the_same_is_the_same_graph_and_one_that_is_not_is_not() -> None:
    spec = read(small_spec(), CATALOGUE)

    def bodies(spec: ModelSpec) -> dict[str, Graph]:
        return {op.name: op.bodies[0] for op in lower(spec).ops if op.kind == "call"}

    before, after = bodies(spec), bodies(spec.choose({"encoders.text.depth": 2}))
    assert before["image"] is after["image"]
    assert before["text"] is not after["text"]
    assert before["joint"] is after["joint"], "it reads the same shapes"
    wider = bodies(spec.choose({"encoders.text.width": 32}))
    assert before["joint"] is not wider["joint"], "it projects what it reads"


def test_components_that_are_not_concerned_stay_the_same_objects_and_come_back() -> None:
    spec = read(small_spec(), CATALOGUE)
    other = spec.choose({"encoders.text.depth": 2})
    back = other.choose({"encoders.text.depth": 1})
    assert other.encoders["image"] is spec.encoders["image"] and other.fusion["joint"] is spec.fusion["joint"]
    assert other.encoders["text"] is not spec.encoders["text"]
    again = back.choose({"encoders.text.depth": 2})
    assert again.encoders["text"] is other.encoders["text"]


def test_a_head_that_changes_changes_the_stack_that_asks_it() -> None:
    halting = (
        "{type: cross_attention, from: [image, text], depth: 2, heads: 2, halting: {type: confidence, head: label}}"
    )
    spec = read(small_spec(fusion=halting), CATALOGUE)
    exits = [lower(spec.choose({"heads.label.classes": n})).outputs["label.exits"].shape for n in (3, 7, 3)]
    assert [shape[-1] for shape in exits] == [3, 7, 3]


@pytest.mark.parametrize("wrong", [1.0, True, "1"])
def test_a_value_that_was_valid_makes_no_value_valid_that_merely_equals_it(wrong: object) -> None:
    spec = read(small_spec(), CATALOGUE).choose({"encoders.text.depth": 1})
    with pytest.raises(SpecError):
        spec.choose({"encoders.text.depth": wrong})


def test_what_a_node_can_see_of_what_it_reads_tells_values_apart() -> None:
    g = Scope("Seen")
    mask, other = g.input("mask", (2, 3), "bool"), g.input("other_mask", (2, 3), "bool")

    def value(name: str = "x", width: int = 4, mask: Value | None = None, **known: int) -> Value:
        made = g.input(name, (2, 3, width), **known)
        made.mask = mask
        return made

    x, alike = value(), value()
    assert signature([x]) == signature([alike]) and signature([x, alike]) == signature([alike, x])
    unlike = [
        [value("y")], [value(width=5)], [value(mask=mask)], [value(bound=7)], [value(rate=7)], [x, x], [x, alike],
        [value(mask=mask), value(mask=mask)], [value(mask=mask), value(mask=other)], [mask, value(mask=mask)],
        [other, value(mask=mask)],
    ]  # fmt: skip
    assert len({signature(values) for values in (*unlike, [x])}) == len(unlike) + 1


def test_nodes_that_are_written_alike_read_each_their_own() -> None:
    text = "{type: text, vocab_size: 9, length: 4}"
    encoder = "{type: text_transformer, width: 8, depth: 1, heads: 2}"
    spec = read(
        f"inputs: {{a: {text}, b: {text}}}\nencoders: {{a: {encoder}, b: {encoder}}}\n"
        "fusion: {joint: {type: concat}}\nheads: {label: {type: classification, classes: 2}}\n",
        CATALOGUE,
    )
    for chosen in (spec, spec.choose({"heads.label.classes": 3})):
        assert [chosen.encoders[name].from_ for name in "ab"] == ["inputs.a", "inputs.b"]  # type: ignore[attr-defined]


def test_a_router_that_looks_at_an_input_is_lowered_anew_for_another_input() -> None:
    spec = read(
        "inputs: {image: {type: image, size: 8, channels: 1}, task: {type: category, classes: 3}}\n"
        "encoders: {image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2,"
        " router: {type: task, experts: 2, task: task}}}\n"
        "heads: {label: {type: classification, classes: 2}}\n",
        CATALOGUE,
    )
    counts = [mmspec.profile(spec.choose({"inputs.task.classes": n}))["parameters.total"] for n in (3, 5, 3)]
    assert counts[1] > counts[0] == counts[2]


def test_what_is_said_unasked_is_said_again() -> None:
    spec = read(small_spec(), CATALOGUE).choose({"encoders.text.width": 32})
    first, second = lower(spec).notes, lower(spec).notes
    assert first == second and "projection" in first[0]


def test_a_memory_keeps_what_was_asked_for_last_and_no_more() -> None:
    memory = Memory(limit=4)
    memory.keep("kept", 1)
    for number in range(100):
        memory.keep(number, number)
        assert memory.get("kept") == 1
        assert len(memory) <= 8
    assert memory.get(0) is None and memory.get(99) == 99


def test_graphs_of_a_family_go_when_they_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = read(small_spec(), CATALOGUE)
    spec.memory.limit = 8
    first = weakref.ref(lower(spec).ops[-1].bodies[0])
    for width in range(2, 60, 2):
        mmspec.profile(spec.choose({"encoders.text.width": width, "encoders.image.width": width}))
        assert len(spec.memory) <= 16
    gc.collect()
    assert first() is None
    last = weakref.ref(lower(spec).ops[-1].bodies[0])
    del spec
    gc.collect()
    assert last() is None, "a family that is gone leaves nothing behind"


def test_a_graph_knows_its_last_prices_only() -> None:
    spec = read(small_spec(), CATALOGUE)
    graph = lower(spec)
    prices = [mmspec.profile(spec, batch=batch, graph=graph)["flops.total"] for batch in range(1, 100)]
    assert prices == [prices[0] * batch for batch in range(1, 100)]
    graphs = [graph]
    while graphs:
        each = graphs.pop()
        assert len(each.found) <= LIMIT
        graphs += [body for op in each.ops for body in op.bodies]


@pytest.mark.parametrize("name", shipped.names("specs"))
def test_a_shipped_spec_is_the_same_from_memory(name: str) -> None:
    spec = mmspec.load(name).require_closed()
    first = everything(lower(spec)), mmspec.profile(spec).to_dict()
    again = everything(lower(spec)), mmspec.profile(spec).to_dict()
    spec.memory.clear()
    assert first == again == (everything(lower(spec)), mmspec.profile(spec).to_dict())
