"""Clips are read from animated pictures, frame by frame."""

import json

import pytest
import torch
from PIL import Image

import mmspec
from mmspec.components import CATALOGUE
from mmspec.reading.clips import ClipColumn
from mmspec.reading.columns import restore
from mmspec.spec import read


def animated(path, greys, **options):
    """A clip of plain frames."""
    first, *rest = (Image.new("L", (4, 4), grey) for grey in greys)
    first.save(path, save_all=True, append_images=rest, **options)
    return path


@pytest.mark.parametrize(
    ("name", "options"), [("a.gif", {}), ("a.png", {}), ("a.webp", {"lossless": True}), ("a.tiff", {})]
)
def test_frames_come_in_their_order(tmp_path, name, options):
    clip = ClipColumn(3, 2, 1).read(animated(tmp_path / name, [10, 120, 250], **options))
    assert clip.shape == (3, 1, 2, 2)
    assert clip.mean((1, 2, 3)).tolist() == pytest.approx([10, 120, 250], abs=1)


def test_of_a_longer_clip_the_middle_of_each_part_is_seen(tmp_path):
    """Nine frames in three parts: the second of each."""
    path = animated(tmp_path / "a.gif", range(0, 180, 20))
    assert ClipColumn(3, 2, 1).read(path).mean((1, 2, 3)).tolist() == pytest.approx([20, 80, 140], abs=1)


def test_a_frame_that_lasts_is_seen_for_longer(tmp_path):
    """120 of 160 ms are black: at the moments 20, 60, 100 and 140 ms."""
    path = animated(tmp_path / "a.gif", [0, 255], duration=[120, 40])
    assert ClipColumn(4, 2, 1).read(path).mean((1, 2, 3)).tolist() == pytest.approx([0, 0, 0, 255], abs=1)


def test_a_still_picture_is_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "still.png")
    with pytest.raises(ValueError, match="a still picture, where the model sees 3 frames"):
        ClipColumn(3, 2, 3).read(tmp_path / "still.png")


def test_a_damaged_clip_says_so(tmp_path):
    path = animated(tmp_path / "a.gif", [0, 90, 255])
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"damaged|still"):
        ClipColumn(3, 2, 1).read(path)


def test_a_clip_of_too_many_pixels_is_not_decoded(tmp_path, monkeypatch):
    path = animated(tmp_path / "a.gif", [0, 90] * 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 * 20 // 16)
    assert ClipColumn(2, 2, 1).read(path).shape == (2, 1, 2, 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 * 20 // 16 - 1)
    with pytest.raises(ValueError, match="20 frames of 4 x 4 pixels, and 81,904 pixels are read"):
        ClipColumn(2, 2, 1).read(path)


def test_what_is_saved_reads_the_same(tmp_path):
    column = ClipColumn(3, 2, 1)
    assert restore(json.loads(json.dumps(column.save(tmp_path))), tmp_path) == column


SPEC = """
name: watching
inputs: {clip: {type: video, frames: 4, size: 8, channels: 1}}
encoders: {clip: {type: video_transformer, patch_size: 4, width: 16, depth: 1, heads: 2}}
heads: {label: {type: classification, classes: 2, pool: {type: temporal_pyramid, scales: [1, 2]}}}
objectives: [{type: cross_entropy, target: turns}]
"""


def test_a_model_learns_from_clips_which_way_the_light_goes_and_answers_about_a_new_one(tmp_path):
    """What brightens and what darkens have the same frames on average: only their order tells."""
    random = torch.Generator().manual_seed(0)
    lines = ["clip,turns"]
    for i in range(40):
        greys = sorted(torch.randint(0, 256, (4,), generator=random).tolist(), reverse=bool(i % 2))
        animated(tmp_path / f"{i}.gif", greys, duration=40)
        lines.append(f"{i}.gif,{'darker' if i % 2 else 'brighter'}")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    recipe = {"data": str(tmp_path / "clips.csv"), "steps": 60, "batch": 16}
    mmspec.train(read(SPEC, CATALOGUE), recipe, out=tmp_path / "run")
    for name, greys in (("brighter", [0, 60, 160, 240]), ("darker", [250, 170, 70, 10])):
        answers = mmspec.predict(tmp_path / "run", {"clip": str(animated(tmp_path / "new.gif", greys, duration=40))})
        assert answers["label"]["answer"] == name
