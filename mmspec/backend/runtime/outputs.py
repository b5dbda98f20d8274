"""What a model returns."""

from collections.abc import Iterable

from torch import Tensor, nn


class Outputs(nn.Module):
    """A dict of outputs by name; those in `training` are left out at inference, where they are not computed."""

    def __init__(self, names: Iterable[str], training: Iterable[str] = ()) -> None:
        super().__init__()
        self.names = tuple(names)
        self.in_training = frozenset(training)

    def forward(self, *values: Tensor) -> dict[str, Tensor]:
        pairs = zip(self.names, values, strict=True)
        return {name: value for name, value in pairs if self.training or name not in self.in_training}
