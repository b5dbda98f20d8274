"""Pictures of every kind become the same numbers, and a damaged one says so."""

import numpy as np
import pytest
from PIL import Image

from mmspec.reading.images import ImageColumn


def read(tmp_path, image, channels=3, name="a.png", **options):
    image.save(tmp_path / name, **options)
    return ImageColumn(4, 4, channels).read(str(tmp_path / name))


def test_colours_and_rows_are_where_they_were(tmp_path):
    image = Image.new("RGB", (4, 4), (255, 0, 10))
    image.putpixel((3, 0), (1, 2, 3))  # right, top
    read_image = read(tmp_path, image)
    assert read_image[:, 1, 1].tolist() == [255, 0, 10]
    assert read_image[:, 0, 3].tolist() == [1, 2, 3]


def test_what_is_transparent_is_white(tmp_path):
    assert read(tmp_path, Image.new("RGBA", (4, 4), (0, 0, 0, 0)), channels=1).tolist() == [[[255] * 4] * 4]


def test_a_palette_is_looked_up(tmp_path):
    image = Image.new("RGB", (4, 4), (200, 100, 50)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert read(tmp_path, image)[:, 0, 0].tolist() == [200, 100, 50]


def test_a_picture_taken_sideways_is_turned_upright(tmp_path):
    image = Image.new("L", (4, 4), 0)
    image.paste(255, (0, 0, 2, 4))  # the left half, stored
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    shown = read(tmp_path, image, 1, "a.jpg", exif=exif, quality=100)
    assert shown[0, :2].mean() > 240 > 15 > shown[0, 2:].mean()  # the upper half, shown


def test_values_are_normalised_to_plus_and_minus_one():
    column = ImageColumn(1, 1, 1)
    batch = column.batch([np.array([[[value]]], np.uint8) for value in (0, 255)])
    assert batch[:, 0, 0, 0].tolist() == [-1, 1]


def test_shrinking_averages_instead_of_skipping(tmp_path):
    image = Image.new("L", (16, 16), 0)
    for x in range(0, 16, 2):
        image.paste(255, (x, 0, x + 1, 16))  # stripes of one pixel
    shown = read(tmp_path, image, 1)
    assert np.abs(shown - 127.5).max() < 20


def test_sixteen_bits_are_refused_rather_than_clipped(tmp_path):
    with pytest.raises(ValueError, match="more than 8 bits"):
        read(tmp_path, Image.new("I;16", (4, 4), 40_000), 1)


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
    with pytest.raises(ValueError, match="more than 15 pixels"):
        read(tmp_path, Image.new("L", (4, 4)))


def test_a_postscript_file_is_not_an_image(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(ValueError, match="not an image of a known kind"):
        ImageColumn(4, 4, 1).read(str(tmp_path / "a.png"))
