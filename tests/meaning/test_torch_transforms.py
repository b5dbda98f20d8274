"""What torch makes of a built model - compiled, exported, copied, saved - gives the same numbers and the same exits."""

import copy
import io
import pickle
import shutil
from collections.abc import Iterator

import pytest
import torch
from tiny_models import assert_agree, built, example, spec
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

HALTING = "halting: {type: confidence, head: label}"
EXITS = f"type: gated, depth: 3, {HALTING}"
EXPERTS = "type: gated, depth: 1, router: {type: top_k, experts: 3, k: 2}"
BOTH = f"type: gated, depth: 2, {HALTING}, router: {{type: top_k, experts: 3, k: 2}}"
MULTI = f"type: transformer, streams: multi, depth: 2, {HALTING}"
STREAMS = ("text", "image")  # what is carried has a mask


def made(fusion: str, seed: int = 0) -> nn.Module:
    outputs = ["joint", "label.exit"] if "halting" in fusion else ["joint"]
    model = built(spec(fusion, STREAMS, outputs=outputs), seed)
    model.label.output.weight.data.mul_(4)  # answers of all degrees of confidence
    return model


def thresholds(model: nn.Module) -> list[Tensor]:
    """Those with which some leave at the first exit (and nobody later), some at each, all, none."""
    stages = model.joint.blocks
    stages.force(0)
    sure = model(**example(STREAMS, batch=6))["label"].detach().softmax(-1).amax(-1).sort().values
    stages.force(None)
    middle, later = (sure[2] + sure[3]) / 2, len(stages) - 2
    return [
        torch.stack([middle, *[torch.tensor(1.0)] * later]),
        *(middle.new_full((later + 1,), t) for t in (middle, 0, 1)),
    ]


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if value.dtype == torch.int64:
            assert found[name].equal(value)
        else:
            assert_agree(found[name], value)


@pytest.fixture
def dynamo() -> Iterator[None]:
    """Compiled code of other tests does not count."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


# copied and saved --------------------------------------------------------------------------------------------------------


def test_a_state_dict_makes_another_model_the_same() -> None:
    one, other = made(BOTH), made(BOTH, seed=9)
    inputs = example(STREAMS)
    file = io.BytesIO()
    torch.save(one.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for name, value in one(**inputs).items():
        assert other(**inputs)[name].equal(value)
    assert list(one.state_dict()) == [name for name, _ in one.named_parameters()], "thresholds are not weights"
    assert "label.output.weight" in one.state_dict() and not any(
        "joint" in n and "label" in n for n in one.state_dict()
    )


def test_a_copy_is_of_the_same_classes_gives_the_same_numbers_and_lives_by_itself() -> None:
    for fusion in (BOTH, MULTI):
        model, inputs = made(fusion), example(STREAMS)
        model.joint.blocks.thresholds.copy_(thresholds(model)[1])
        before = model(**inputs)
        twin = copy.deepcopy(copy.deepcopy(model))
        kinds = [(name, type(module).__name__) for name, module in model.named_modules()]
        assert [(name, type(module).__name__) for name, module in twin.named_modules()] == kinds
        assert dict(kinds)["joint"] in ("GatedFusion", "TransformerFusion")
        for name, value in before.items():
            assert twin(**inputs)[name].equal(value)
        for parameter in twin.parameters():
            parameter.data.zero_()
        twin.joint.blocks.force(0)
        for name, value in model(**inputs).items():
            assert value.equal(before[name])


def test_a_pickled_model_is_of_the_same_classes_and_gives_the_same_numbers() -> None:
    for fusion in (BOTH, MULTI):
        model, inputs = made(fusion), example(STREAMS)
        model.joint.blocks.thresholds.copy_(thresholds(model)[1])
        twin = pickle.loads(pickle.dumps(model))
        assert [type(module).__name__ for module in twin.modules()] == [
            type(module).__name__ for module in model.modules()
        ]
        for training in (False, True):
            found = twin.train(training)(**inputs)
            for name, value in model.train(training)(**inputs).items():
                assert found[name].equal(value)
        said = inputs | {"text_mask": torch.zeros_like(inputs["text"], dtype=torch.bool)}
        assert twin.eval()(**said)["label"].equal(model.eval()(**said)["label"])


# exported ----------------------------------------------------------------------------------------------------------------


def exported(model: nn.Module) -> ExportedProgram:
    """For batches of up to 64 and texts of up to 6, from an example of another size."""
    inputs = example(STREAMS, batch=3)
    text = inputs["text"][:, :4].contiguous()
    batch, words = Dim("batch", min=1, max=64), Dim("words", min=1, max=6)
    sizes = ({0: batch, 1: words}, {0: batch}, {0: batch, 1: words})
    with torch.no_grad():
        return torch.export.export(model, (text, inputs["image"], text != 0), dynamic_shapes=sizes, strict=False)


def sizes() -> Iterator[dict[str, Tensor]]:
    """Batches of 1, 6 and 2, texts of 1, 4 and 6 words, one of them absent."""
    for batch, words in ((1, 6), (6, 6), (2, 4), (6, 1)):
        inputs = example(STREAMS, batch, seed=batch)
        inputs["text"] = inputs["text"][:, :words].contiguous()
        inputs["text_mask"] = inputs["text"] != 0
        inputs["text_mask"][-1] = inputs["text_mask"][-1] & (batch != 2)
        yield inputs


def assert_exports(fusion: str) -> None:
    model = made(fusion)
    program = exported(model).module()
    for values in thresholds(model) if "halting" in fusion else [None]:
        if values is not None:
            model.joint.blocks.thresholds.copy_(values)
            program.get_buffer("joint.blocks.thresholds").copy_(values)
        for inputs in sizes():
            assert_same(program(*inputs.values()), model(**inputs))


def test_an_exported_program_has_every_expert_at_any_size() -> None:
    assert_exports(EXPERTS)


@pytest.mark.slow
@pytest.mark.parametrize("fusion", [EXITS, BOTH, MULTI], ids=["deep", "experts", "streams"])
def test_an_exported_program_has_every_exit_at_any_size(fusion: str) -> None:
    assert_exports(fusion)


# compiled ----------------------------------------------------------------------------------------------------------------


def assert_compiles(fusion: str, backend: str) -> None:
    model = made(fusion)
    compiled = torch.compile(model, backend=backend)
    for values in thresholds(model) if "halting" in fusion else [None]:
        if values is not None:
            model.joint.blocks.thresholds.copy_(values)
        for batch in (6, 2):
            inputs = example(STREAMS, batch)
            assert_same(compiled(**inputs), model(**inputs))


@pytest.mark.slow
@pytest.mark.parametrize("fusion", [EXITS, EXPERTS], ids=["exits", "experts"])
def test_a_compiled_model_gives_the_same_numbers_and_exits(fusion: str, dynamo: None) -> None:
    assert_compiles(fusion, "eager")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_a_model_compiled_by_inductor_gives_the_same_numbers_and_exits(dynamo: None) -> None:
    assert_compiles(EXITS.replace("gated", "concat"), "inductor")
