"""Points of a space with conditional domains, suggested, counted, drawn and walked."""

import optuna
import pytest

from mmspec.spec.domains import Domain
from mmspec.study.space import Space, count, values

FUSION = Domain("fusion.joint", ("fusion", "joint"), "choice", ("gated", "concat"), default="gated", has_default=True)
DEPTH = Domain(
    "fusion.joint[gated].depth",
    ("fusion", "joint", "depth"),
    "choice",
    (1, 2, 3),
    condition=(("fusion.joint", "gated"),),
)
WIDTH = Domain(
    "encoders.image.width",
    ("encoders", "image", "width"),
    "int",
    low=64,
    high=128,
    step=32,
    default=96,
    has_default=True,
)
RATE = Domain("encoders.image.dropout", ("encoders", "image", "dropout"), "float", low=0.0, high=0.3)
TIED = Domain("a.b", ("a", "b"), "choice", (1, True, 1.0))


def space(*domains):
    return Space.of({d.key: d for d in domains})


def test_a_domain_under_an_alternative_is_there_only_when_that_is_chosen():
    points = list(space(DEPTH, FUSION).points())  # of() puts the condition first
    assert points == [
        {"fusion.joint": "gated", "fusion.joint[gated].depth": 1},
        {"fusion.joint": "gated", "fusion.joint[gated].depth": 2},
        {"fusion.joint": "gated", "fusion.joint[gated].depth": 3},
        {"fusion.joint": "concat"},
    ]


def test_the_size_counts_points_and_not_products_of_domains():
    assert space(FUSION, DEPTH).size() == 4
    assert space(FUSION, DEPTH, WIDTH).size() == 12
    assert space(WIDTH, RATE).size() is None
    assert space(FUSION, DEPTH, WIDTH).size(most=5) is None


def test_both_ends_of_a_range_belong_to_it():
    assert values(WIDTH) == (64, 96, 128)
    assert count(WIDTH) == 3
    with pytest.raises(ValueError, match="continuous"):
        values(RATE)


def test_defaults_are_the_written_ones_or_the_first_values():
    assert space(FUSION, DEPTH, WIDTH, RATE).defaults() == {
        "fusion.joint": "gated", "fusion.joint[gated].depth": 1, "encoders.image.width": 96, "encoders.image.dropout": 0.0,
    }  # fmt: skip
    assert space(FUSION, DEPTH).defaults({"fusion.joint": "concat"}) == {"fusion.joint": "concat"}


@pytest.mark.parametrize("domains", [(FUSION, DEPTH, WIDTH), (TIED, RATE)])
def test_what_optuna_suggests_and_what_is_drawn_are_points_of_the_space(domains):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    there = space(*domains)
    for seed in range(40):
        for point in (there.suggest(study.ask()), there.random(seed)):
            assert [d.key for d in there.domains if d.active(point)] == list(point)
            assert all(point[d.key] in d for d in there.domains if d.key in point)


def test_choices_that_python_calls_equal_stay_apart():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {repr(space(TIED).suggest(study.ask())["a.b"]) for _ in range(40)}
    assert drawn == {"1", "True", "1.0"}


def test_a_neighbour_differs_in_one_domain_and_takes_the_defaults_of_what_opens():
    there = space(FUSION, DEPTH, WIDTH)
    assert list(there.neighbours({"fusion.joint": "concat", "encoders.image.width": 96})) == [
        {"fusion.joint": "gated", "encoders.image.width": 96, "fusion.joint[gated].depth": 1},
        {"fusion.joint": "concat", "encoders.image.width": 64},
        {"fusion.joint": "concat", "encoders.image.width": 128},
    ]


def test_a_drawn_point_depends_on_its_seed_alone():
    there = space(FUSION, DEPTH, WIDTH, RATE)
    assert there.random(7) == there.random(7)
    assert len({repr(there.random(seed)) for seed in range(20)}) > 10
