"""Views of a picture: parts of the size that was asked for in training, the whole of it to be measured."""

import pytest
import torch
from PIL import Image

from mmspec.components import CATALOGUE
from mmspec.data import Preprocessing, open_data
from mmspec.data.images import resized as tensors_resized
from mmspec.data.views import drawn as views_drawn
from mmspec.reading.images import ImageColumn, resized
from mmspec.reading.views import ViewsColumn
from mmspec.spec import SpecError, read

SPEC = """
name: shown
inputs:
  image: {type: image, size: 8, channels: 1, views: 2, area: [0.5, 1.0]}
  parts: {type: image, size: 4, channels: 1, views: 3, area: [0.1, 0.3], column: image}
encoders:
  image: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
  parts: {type: vit, patch_size: 4, width: 8, depth: 1, heads: 2}
heads: {label: {type: classification, classes: 10, from: image}}
objectives: [{type: cross_entropy, head: label, target: digit}]
outputs: [parts]
"""


def shown():
    return read(SPEC, CATALOGUE)


def ramp(side=32):
    """Pictures in which a pixel's value is its place: f32[1, 2, H, W], how far to the right and how far down."""
    at = (torch.arange(side) + 0.5) / side
    return torch.stack([at.expand(side, side), at[:, None].expand(side, side)])[None]


def drawn(views=500, size=8, strength=0.0, **how):
    column = ViewsColumn(ImageColumn(size, size, 2), views, **how)
    values = views_drawn(column, ramp(), strength, torch.Generator().manual_seed(0))[0]
    return (values + 1) / 2  # [V, 2, H, W] in [0, 1]


def test_a_view_shows_a_part_of_the_area_that_was_asked_for():
    views = drawn(area=(0.2, 0.4))
    wide = (views[:, 0, 0, -1] - views[:, 0, 0, 0]) * 8 / 7
    high = (views[:, 1, -1, 0] - views[:, 1, 0, 0]) * 8 / 7
    area, ratio = wide * high, wide / high
    assert 0.19 < area.min() < 0.21 and 0.39 < area.max() < 0.41
    assert 0.74 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.35
    assert area.mean() == pytest.approx(0.3, abs=0.01)


def test_parts_are_anywhere_inside_the_picture():
    views = drawn(area=(0.1, 0.1))
    assert views.amin(dim=(0, 2, 3)).tolist() == pytest.approx([0.02, 0.02], abs=0.02)
    assert views.amax(dim=(0, 2, 3)).tolist() == pytest.approx([0.98, 0.98], abs=0.02)


def test_every_other_view_is_mirrored_where_that_is_asked_for():
    assert (drawn()[:, 0, 0, 0] < drawn()[:, 0, 0, -1]).all()
    turned = drawn(mirror=True)
    assert 0.4 < float((turned[:, 0, 0, 0] > turned[:, 0, 0, -1]).float().mean()) < 0.6
    assert (turned[:, 1, 0, 0] < turned[:, 1, -1, 0]).all()  # left for right, never up for down


def test_light_varies_with_its_strength():
    plain, varied = (drawn(area=(1.0, 1.0), strength=strength) for strength in (0.0, 1.0))
    torch.testing.assert_close(plain.mean(dim=(1, 2, 3)), torch.full((500,), 0.5), atol=0.05, rtol=0)
    assert varied.mean(dim=(1, 2, 3)).std() > 0.05


def test_all_views_are_the_whole_picture_where_a_model_is_measured():
    column = ViewsColumn(ImageColumn(8, 8, 2), 3, (0.1, 0.2))
    whole = torch.from_numpy(column.whole(ramp().numpy()))
    assert whole.shape == (1, 3, 2, 8, 8)
    for view in range(3):
        torch.testing.assert_close((whole[0, view] + 1) / 2, ramp(8)[0], atol=0.02, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (5, 40), (45, 7)])
def test_many_pictures_are_resized_as_torch_does_it(height, width):
    pictures = torch.rand(2, 3, 20, 31, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        torch.from_numpy(resized(pictures.numpy(), height, width)), tensors_resized(pictures, (height, width))
    )


def test_two_inputs_show_one_picture_at_their_own_sizes():
    data = open_data("digits_pictures", shown())
    batch = data.training_batch(3, 5, 0)
    assert batch.inputs["image"].shape == (5, 2, 1, 8, 8)
    assert batch.inputs["parts"].shape == (5, 3, 1, 4, 4)
    again, other = data.training_batch(3, 5, 0), data.training_batch(3, 5, 1)
    assert torch.equal(batch.inputs["parts"], again.inputs["parts"])
    assert not torch.equal(batch.inputs["parts"], other.inputs["parts"])


def test_what_is_on_the_pictures_is_a_column_for_who_asks():
    data = open_data("digits_pictures", shown())
    counts = torch.zeros(10)
    for batch in data.evaluation_batches("test", 100):
        counts += torch.bincount(batch.targets["digit"], minlength=10)
    assert counts.sum() == data.examples("test") == 359
    assert data.baselines("test") == {"commonest digit": pytest.approx(float(counts.max()) / 359)}
    assert data.preprocessing.answers["label"][3] == "three"


def test_a_manifest_names_the_picture_once_and_keeps_it_large_enough(tmp_path):
    Image.new("L", (40, 40), 200).save(tmp_path / "a.png")
    (tmp_path / "data.csv").write_text("image,digit\n" + "a.png,1\n" * 2 + "a.png,2\n")
    rows = (tmp_path / "data.csv").read_text().splitlines()
    split = [f"{row},{name}" for row, name in zip(rows, ("split", "train", "val", "test"), strict=True)]
    (tmp_path / "data.csv").write_text("\n".join(split))
    data = open_data(tmp_path / "data.csv", shown())
    batch = data.training_batch(0, 2, 0)
    torch.testing.assert_close(batch.inputs["parts"], torch.full((2, 3, 1, 4, 4), (200 / 255 - 0.5) / 0.5))
    kept = ViewsColumn(ImageColumn(4, 4, 1), 3, (0.1, 0.3)).read(tmp_path / "a.png")
    assert kept.shape == (1, 13, 13)  # of which a tenth of the area is 4 by 4
    data.preprocessing.save(tmp_path)
    assert Preprocessing.load(tmp_path).columns == data.preprocessing.columns


@pytest.mark.parametrize(
    ("old", "new", "said", "line"),
    [
        (", column: image", "", "digits_pictures has one picture, and 'image' shows it", 5),
        ("[0.1, 0.3]", "[0.3, 0.1]", "shares of a picture lie above 0 and up to 1", 5),
        ("target: digit", "target: number", "digits_pictures has no column 'number'", 10),
        ("classes: 10", "classes: 9", "digits_pictures has 10 digits, the head tells only 9 apart", 9),
    ],
)
def test_what_does_not_fit_is_said_at_its_line(old, new, said, line):
    with pytest.raises(SpecError) as raised:
        open_data("digits_pictures", read(SPEC.replace(old, new), CATALOGUE))
    (problem,) = raised.value.diagnostics
    assert problem.message.startswith(said) and problem.position.line == line
