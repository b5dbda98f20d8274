"""How weights start: as the graph says, as torch's seed says, and not as the number of threads says."""

from collections.abc import Iterator

import pytest
import torch

import mmspec
from mmspec.backend.fresh import LARGE, Drawing
from mmspec.components import CATALOGUE
from mmspec.ir import Init
from mmspec.spec import read

TEXT = """
name: wide
inputs: {text: {type: text, vocab_size: 600, length: 6}}
encoders: {text: {type: text_transformer, width: 256, depth: 1, heads: 2}}
heads: {label: {type: classification, classes: 3}}
"""


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def drawn(init: Init, *shape: int) -> torch.Tensor:
    tensor, drawing = torch.empty(*shape), Drawing()
    drawing.fill(tensor, init)
    drawing.finish()
    return tensor


@pytest.mark.parametrize("shape", [(1000, 600), (100, 60)], ids=["large", "small"])
@pytest.mark.parametrize(
    ("init", "spread", "end"),
    [(Init("normal", 0.02), 0.02, None), (Init("xavier_uniform", 2.0), 2 * (2 / 1600) ** 0.5, 2 * (6 / 1600) ** 0.5)],
    ids=["normal", "uniform"],
)
def test_numbers_are_distributed_as_asked(init: Init, spread: float, end: float | None, shape: tuple[int, int]) -> None:
    if shape == (100, 60) and end is not None:
        spread, end = spread * 10**0.5, end * 10**0.5
    tensor = drawn(init, *shape).double().flatten()
    assert tensor.numel() >= LARGE or shape == (100, 60)
    assert abs(tensor.mean()) < 4 * spread / len(tensor) ** 0.5
    assert tensor.std() == pytest.approx(spread, rel=0.03)
    kurtosis = ((tensor / tensor.std()) ** 4).mean()
    assert kurtosis == pytest.approx(3.0 if end is None else 1.8, rel=0.08)
    if end is not None:
        assert 0.999 * end < tensor.abs().max() <= end * (1 + 1e-6)
        tenths = torch.histc(tensor, 10, -end, end) / len(tensor)
        assert tenths.sub(0.1).abs().max() < 5 * (0.09 / len(tensor)) ** 0.5
    assert abs((tensor[:-1] * tensor[1:]).mean()) < 4 * spread**2 / len(tensor) ** 0.5, (
        "neighbours know nothing of each other"
    )


def test_an_odd_number_is_drawn_to_its_end() -> None:
    assert drawn(Init("xavier_uniform"), LARGE + 3, 1).ne(0).all()


def test_the_seed_decides_and_the_number_of_threads_does_not(threads: int) -> None:
    spec = read(TEXT, CATALOGUE)
    torch.manual_seed(5)
    first, second = (mmspec.build(spec).state_dict() for _ in range(2))
    torch.manual_seed(5)
    again = mmspec.build(spec).state_dict()
    assert all(first[name].equal(again[name]) for name in first)
    name = "text.blocks.0.attention.query.weight"
    assert first[name].numel() >= LARGE and not first[name].equal(second[name])
    assert not first[name].equal(first[name.replace("query", "key")])
    torch.manual_seed(5)
    torch.set_num_threads(3 - threads)
    other = mmspec.build(spec).state_dict()
    assert all(first[name].equal(other[name]) for name in first)


def test_a_model_may_be_built_for_inference() -> None:
    with torch.inference_mode():
        model = mmspec.build(read(TEXT, CATALOGUE))
        assert model(text=torch.ones(1, 6, dtype=torch.int64))["label"].isfinite().all()
