"""DINO: the loss of pairs of views, the centre that a teacher keeps, and weights that follow a student's."""

import math

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import built

import mmspec
from mmspec.backend import build_objectives
from mmspec.components import CATALOGUE
from mmspec.spec import SpecError, read

VIT = "type: vit, patch_size: 4, width: 16, depth: 1, heads: 2, class_token: true"
DINO = "type: dino, hidden: 12, bottleneck: 8, prototypes: 7"
TEACHER = "from: inputs.image, average_of: image"


def taught(
    views: int = 2, teacher: str = TEACHER, centred: str = ", centred: 0.9", vit: str = "type: vit", weights: str = ""
):
    return read(
        f"""
        name: taught
        inputs: {{image: {{type: image, size: 8, channels: 1, views: {views}}}}}
        encoders:
          image: {{{VIT}}}
          teacher: {{{vit}, {teacher}}}
        heads:
          student: {{{DINO}, from: image.class}}
          says: {{type: dino, from: teacher.class, average_of: student{centred}}}
        objectives: [{{type: dino, head: student, teacher: says, student_temperature: 0.2, teacher_temperature: 0.1}}]
        {weights}
        """,
        CATALOGUE,
        origin="taught.yaml",
    )


def images(views: int = 2, batch: int = 3):
    return torch.randn(batch, views, 1, 8, 8, generator=torch.Generator().manual_seed(5))


def test_the_head_is_the_published_formula():
    model = built(taught())
    x = torch.randn(4, 16, generator=torch.Generator().manual_seed(1))
    head = model.student
    h = torch.nn.functional.gelu(x @ head.layer1.weight.T + head.layer1.bias)
    h = torch.nn.functional.gelu(h @ head.layer2.weight.T + head.layer2.bias)
    z = h @ head.layer3.weight.T + head.layer3.bias
    cosines = (z / z.norm(dim=1, keepdim=True)) @ (head.prototypes / head.prototypes.norm(dim=1, keepdim=True)).T
    torch.testing.assert_close(head(x), cosines)


@pytest.mark.parametrize("views", [2, 3])
def test_the_loss_is_the_mean_over_pairs_of_different_views(views):
    spec = taught(views)
    model = built(spec).train()
    outputs = model(image=images(views))
    loss = build_objectives(spec)(outputs, {})["total"]
    student, teacher = (outputs[name].view(3, views, 7) for name in ("student", "says"))
    terms = [
        -((teacher[b, i] / 0.1).softmax(0) * (student[b, j] / 0.2).log_softmax(0)).sum()
        for b in range(3)
        for i in range(views)
        for j in range(views)
        if i != j
    ]
    torch.testing.assert_close(loss, torch.stack(terms).mean())
    loss.backward()
    assert all(p.grad is None for name, p in model.named_parameters() if name.startswith(("teacher.", "says.")))
    assert all(p.grad is not None for name, p in model.named_parameters() if name.startswith(("image.", "student.")))


def test_a_view_is_a_picture_of_its_own():
    model = built(taught())
    pictures = images()
    together = model(image=pictures)["student"].view(3, 2, 7)
    swapped = model(image=pictures.flip(1))["student"].view(3, 2, 7)
    torch.testing.assert_close(together, swapped.flip(1))


def test_the_centre_is_what_was_said_before_and_moves_in_training_alone():
    model, plain = built(taught()), built(taught(centred=""))
    pictures = images()
    said = plain(image=pictures)["says"]
    model.train()
    torch.testing.assert_close(model(image=pictures)["says"], said)  # nothing was said before
    centre = 0.1 * said.mean(dim=0)
    torch.testing.assert_close(model(image=pictures)["says"], said - centre)
    centre = 0.9 * centre + 0.1 * said.mean(dim=0)
    model.eval()
    for _ in range(2):
        torch.testing.assert_close(model(image=pictures)["says"], said - centre)


def test_a_teacher_starts_as_its_student():
    model = mmspec.build(taught())
    student = {**dict(model.image.named_parameters("image")), **dict(model.student.named_parameters("head"))}
    teacher = {**dict(model.teacher.named_parameters("image")), **dict(model.says.named_parameters("head"))}
    assert student.keys() == teacher.keys()
    assert all(torch.equal(student[name], teacher[name]) for name in student)
    assert all(p.requires_grad for p in student.values()) and not any(p.requires_grad for p in teacher.values())


def test_a_teacher_starts_as_the_student_that_a_spec_loads(tmp_path):
    file = tmp_path / "image.safetensors"
    loaded = {name: torch.randn_like(p) for name, p in mmspec.build(taught()).image.named_parameters("image")}
    save_file(loaded, file)
    model = mmspec.build(taught(weights=f"weights: {{image: {{file: {file}, layout: mmspec}}}}"))
    assert torch.equal(model.image.patches.weight, loaded["image.patches.weight"])
    assert torch.equal(model.teacher.patches.weight, loaded["image.patches.weight"])


MEAN_TEACHER = """
name: mean_teacher
inputs:
  image: {type: image, size: 8, channels: 1}
  text: {type: text, length: 32}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
  slow: {type: vit, from: inputs.image, average_of: image, patch_size: 4, width: 8, depth: 1, heads: 2}
  text: {type: text_transformer, width: 8, depth: 1, heads: 2}
fusion: {joint: {type: concat, from: [image, text]}}
heads: {label: {type: classification, classes: 12}}
objectives: [{type: cross_entropy, head: label, target: answer}]
outputs: [slow]
"""


def test_training_draws_an_average_after_its_node_step_by_step():
    from mmspec.data import open_data
    from mmspec.training.loop import Run
    from mmspec.training.recipe import Recipe

    spec = read(MEAN_TEACHER, CATALOGUE)
    recipe = Recipe(steps=4, batch=4, average=0.9, learning_rate=0.1, warmup=0.0)
    torch.manual_seed(0)
    run = Run(spec, recipe, open_data(recipe.data, spec), mmspec.build(spec), {})
    expected = run.module.image.patches.weight.detach().clone()
    for step in range(3):
        run._advance()
        keep = 1 - 0.1 * 0.5 * (1 + math.cos(math.pi * step / 4))
        fast = run.module.image.patches.weight.detach()
        expected = keep * expected + (1 - keep) * fast
        assert not torch.equal(expected, fast)
        torch.testing.assert_close(run.module.slow.patches.weight.detach(), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"teacher": "from: inputs.image, average_of: imge"}, "there is no other node 'imge', did you mean 'image'?"),
        ({"teacher": "from: inputs.image, average_of: teacher"}, "there is no other node 'teacher'"),
        ({"teacher": "from: inputs.image, average_of: student"}, "a vit cannot be the average of 'student', a dino"),
        ({"vit": "type: vit, width: 32"}, "teacher cannot be the average of 'image': their weights differ"),
        ({"centred": ", tie: student"}, "'says' shares its weights with another"),
    ],
)
def test_an_average_follows_a_node_of_its_own_kind_and_sizes(fields, message):
    with pytest.raises(SpecError) as raised:
        mmspec.lower(taught(**fields))
    assert message in [problem.message for problem in raised.value.diagnostics]
    assert "average_of" in str(raised.value)  # the line is shown


def test_an_average_takes_over_what_it_does_not_say():
    spec = taught(vit="type: vit, dropout: 0.5")
    teacher, student = spec.encoders["teacher"], spec.encoders["image"]
    assert (teacher.width, teacher.depth, teacher.class_token) == (student.width, student.depth, True)
    assert (teacher.dropout, student.dropout) == (0.5, 0.0)


def test_one_view_has_nothing_to_learn_of():
    with pytest.raises(SpecError, match="there is one view, and nothing to learn of another"):
        build_objectives(taught(views=1))


# views of two sizes ---------------------------------------------------------------------------------------------------


def cropped(grid: str = "[2, 2]", size: int = 4, objective: str = "", head: str = "tie: student"):
    return read(
        f"""
        name: cropped
        inputs:
          image: {{type: image, size: 8, channels: 1, views: 2}}
          parts: {{type: image, size: {size}, channels: 1, views: 3}}
        encoders:
          image: {{{VIT}, position: {{type: learned, grid: {grid}}}}}
          parts: {{type: vit, tie: image}}
          teacher: {{type: vit, {TEACHER}}}
        heads:
          student: {{{DINO}, from: image.class}}
          local: {{type: dino, from: parts.class, {head}}}
          says: {{type: dino, from: teacher.class, average_of: student, centred: 0.9}}
        objectives: [{{type: dino, head: student, teacher: says, local: local, student_temperature: 0.2, teacher_temperature: 0.1{objective}}}]
        """,
        CATALOGUE,
        origin="cropped.yaml",
    )


def parts(side: int = 4):
    return torch.randn(3, 3, 1, side, side, generator=torch.Generator().manual_seed(6))


def test_a_smaller_view_has_its_places_between_those_of_the_whole():
    model = built(cropped(grid="[4, 4]", size=12))
    given = {"image": images(), "parts": parts(12)}
    table = model.image.position.detach()
    seen = {}
    for name, side in (("image", 2), ("parts", 3)):
        plan = table[1:].T.reshape(1, 16, 4, 4)
        places = torch.nn.functional.interpolate(plan, size=(side, side), mode="bicubic", align_corners=False)
        seen[name] = torch.cat([table[:1], places.flatten(2)[0].T])
    first = model.image.blocks[0]
    read_by_block = []
    hook = first.register_forward_pre_hook(lambda _, x: read_by_block.append(x[0]))
    model(**given)
    hook.remove()
    for x, name in zip(read_by_block, ("image", "parts"), strict=True):
        pictures = given[name].flatten(0, 1)
        patches = model.image.patches(pictures).flatten(2).transpose(1, 2)
        tokens = torch.cat([model.image.class_token.expand(len(pictures), 1, -1), patches], dim=1)
        torch.testing.assert_close(x, tokens + seen[name])


def test_one_table_serves_all_sizes_and_is_counted_once():
    alone, both = mmspec.profile(taught()), mmspec.profile(cropped())
    assert both["parameters.total"] == alone["parameters.total"]


def test_a_table_for_the_very_grid_is_read_as_it_is():
    model, twin = built(cropped()), built(taught())
    twin.load_state_dict(model.state_dict())
    assert torch.equal(model(image=images(), parts=parts())["student"], twin(image=images())["student"])


def test_the_teacher_s_views_are_compared_with_all_others():
    spec = cropped()
    model = built(spec).train()
    outputs = model(image=images(), parts=parts())
    loss = build_objectives(spec)(outputs, {})["total"]
    teacher = outputs["says"].view(3, 2, 7)
    student = torch.cat([outputs["student"].view(3, 2, 7), outputs["local"].view(3, 3, 7)], dim=1)
    terms = [
        -((teacher[b, i] / 0.1).softmax(0) * (student[b, j] / 0.2).log_softmax(0)).sum()
        for b in range(3)
        for i in range(2)
        for j in range(5)
        if i != j
    ]
    torch.testing.assert_close(loss, torch.stack(terms).mean())


@pytest.mark.parametrize(("progress", "temperature"), [(0.0, 0.02), (0.25, 0.06), (0.5, 0.1), (0.9, 0.1), (1.0, 0.1)])
def test_the_teacher_warms_up_in_a_line_and_stays(progress, temperature):
    warming = cropped(objective=", first_temperature: 0.02, warmup: 0.5")
    outputs = built(warming).train()(image=images(), parts=parts())
    found = build_objectives(warming)(outputs, {}, progress)["total"]
    steady = read(
        cropped().to_yaml().replace("teacher_temperature: 0.1", f"teacher_temperature: {temperature}"), CATALOGUE
    )
    torch.testing.assert_close(found, build_objectives(steady)(outputs, {})["total"])


def test_positions_of_a_grid_are_for_patches():
    with pytest.raises(SpecError, match="a grid of positions is for the patches of an image") as raised:
        mmspec.lower(
            read(
                """
                name: words
                inputs: {text: {type: text, length: 8}}
                encoders: {text: {type: text_transformer, width: 8, depth: 1, heads: 2, position: {type: learned, grid: [2, 4]}}}
                heads: {label: {type: classification, classes: 2}}
                """,
                CATALOGUE,
            )
        )
    assert raised.value.diagnostics[0].position.line == 4


def test_both_heads_need_as_many_prototypes():
    with pytest.raises(SpecError, match="student says 7 numbers, local 9"):
        build_objectives(cropped(head="hidden: 12, bottleneck: 8, prototypes: 9"))
