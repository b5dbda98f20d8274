"""Memory over time is the same model as the memory figure, gone through operation by operation."""

import pytest
from random_specs import random_spec
from small_spec import small_spec

import mmspec
from mmspec.components import CATALOGUE
from mmspec.cost import Sizes, peak_activations
from mmspec.cost.timeline import timeline
from mmspec.shipped import names
from mmspec.spec import read


def of(spec, batch=2):
    graph = mmspec.lower(spec)
    sizes = Sizes({"B": batch, **graph.limits})
    return timeline(graph, sizes), peak_activations(graph, sizes)


@pytest.mark.parametrize("name", names("specs"))
def test_the_highest_moment_is_the_figure_and_what_is_alive_there_adds_up_to_it(name):
    found, figure = of(mmspec.load(name))
    assert found.peak.alive == figure
    assert sum(held.bytes for held in found.held) == figure


@pytest.mark.parametrize("seed", range(40))
def test_of_random_specs_too(seed):
    found, figure = of(random_spec(seed), batch=3)
    assert found.peak.alive == figure == sum(held.bytes for held in found.held)


def test_every_block_of_a_stack_has_its_moments():
    found, _ = of(mmspec.load("vit_b16"))
    queries = [moment.path for moment in found.moments if moment.path.endswith(".attention.query")]
    assert queries == [f"image.blocks.{index}.attention.query" for index in range(12)]


def test_what_is_alive_inside_a_block_is_what_one_would_count():
    """4 tokens of 16 channels are 256 bytes. At the feed-forward's gelu: the tokens that the block was handed, their sum with the
    attention's, that one normalised (handed to the feed-forward), 4 x 64 hidden numbers before and after, and the text's mask."""
    found, _ = of(read(small_spec(), CATALOGUE), batch=1)
    alive = {moment.path: moment.alive for moment in found.moments}
    assert alive["image.blocks.0.feed_forward.gelu"] == 3 * 256 + 2 * 1024 + 32
    assert found.peaks()["image"] == alive["image.blocks.0.feed_forward.gelu"]
