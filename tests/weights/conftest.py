"""A small model, and files of weights for it."""

import pytest
from safetensors.torch import save_file
from vit_names import tiny

import mmspec


@pytest.fixture
def model():
    return mmspec.build(tiny())


@pytest.fixture
def saved(tmp_path):
    """Writes tensors as safetensors; returns the path."""

    def save(state, name="vit.safetensors"):
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, tmp_path / name)
        return tmp_path / name

    return save
