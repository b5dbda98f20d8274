"""Mistakes in a model of stages: in a file, in which file is which, in the plan. Each a function from good files to bad ones."""

from dataclasses import replace

import faults
import numpy as np
import small_exports as small

EXPERT = "joint.blocks.1.feed_forward.experts.1.down.bias"


def spec():
    """Experts and exits after both of three blocks, and a second head that reads what a sample had at its exit."""
    fusion = small.FUSIONS["gated"] + small.EXPERTS + small.leaving().replace("depth: 2", "depth: 3")
    return small.spec({"joint": fusion}, {"label": "from: joint", "mood": "from: joint"})


def swapped(files):
    protos = files.protos
    return replace(files, protos={**protos, "exit_0.onnx": protos["exit_1.onnx"], "exit_1.onnx": protos["exit_0.onnx"]})


def repeated(files):
    """Exit 0 once more in exit 1's place."""
    return replace(files, protos={**files.protos, "exit_1.onnx": files.protos["exit_0.onnx"]})


def other_threshold(files):
    return planned(files, thresholds=[files.plan["thresholds"][0] + 0.2, *files.plan["thresholds"][1:]])


def thresholds_exchanged(files):
    """Each by a little more than the other: the first's for the second and the other way round."""
    first, second = files.plan["thresholds"]
    return planned(files, thresholds=[second + 1e-3, first - 1e-3])


def dropped(files):
    """After exit 0 comes exit 2."""
    named = {**files.plan["files"], "exits": ["exit_0.onnx", "exit_2.onnx"]}
    return planned(files, files=named, thresholds=files.plan["thresholds"][:1])


def turned(files):
    named = {**files.plan["files"], "exits": files.plan["files"]["exits"][::-1]}
    return planned(files, files=named)


def one_weight(files):
    return in_file(files, "exit_1.onnx", EXPERT, lambda weights: weights + np.float32(0.1))


def one_bit(files):
    def flip(weights):
        bits = weights.copy()
        bits.view(np.uint32)[0] ^= 1
        return bits

    return in_file(files, "exit_1.onnx", EXPERT, flip)


def heads_exchanged(files):
    outputs = files.plan["outputs"]
    return planned(files, outputs={**outputs, "label": outputs["mood"], "mood": outputs["label"]})


def missing_file(files):
    return replace(files, protos={name: proto for name, proto in files.protos.items() if name != "exit_2.onnx"})


def planned(given, /, **changes):
    return replace(given, plan={**given.plan, **changes})


def in_file(files, name, weight, change):
    return replace(files, protos={**files.protos, name: faults.changed(files.protos[name], weight, change)})


FAULTS = (
    swapped, repeated, other_threshold, thresholds_exchanged, dropped, turned, one_weight, one_bit, heads_exchanged, missing_file,
)  # fmt: skip
