"""Which answers are chosen to lie in a package."""

import safetensors.numpy
import torch

from mmspec.deploy.cases import plain_case
from mmspec.deploy.exits import restored, stay
from mmspec.deploy.golden import golden_of
from mmspec.deploy.watching import stacks_of, watching


def test_golden_samples_come_as_far_as_samples_do(flagship):
    """So that the last block has a part in an answer of each case, though most samples leave before it."""
    module, contract, verify = flagship.module, flagship.contract, flagship.target.verify
    with restored(module), torch.no_grad():
        stay(module)
        with watching(module, 64) as seen:
            module(*plain_case(contract, 64, 1).inputs)
        ((path, stack),) = stacks_of(module).items()
        stack.thresholds.fill_(seen.scores[path][0][1].quantile(0.2))
        golden = safetensors.numpy.load(golden_of(module, contract, verify))
    reached = [value.max() for name, value in golden.items() if name.endswith(".outputs.label.exit")]
    assert reached == 3 * [stack.exits - 1]
