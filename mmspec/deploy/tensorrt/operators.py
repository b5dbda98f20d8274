"""The ONNX operators that TensorRT's parser takes, of which types, since which version. A table of facts; the documents are

OPERATORS_MD   github.com/onnx/onnx-tensorrt docs/operators.md, as of TensorRT 10.1 (commit 96e7811), 10.14 (c727277) and
               11.1 (7c51a63), which differ in what is marked with a version here
CHANGELOG      github.com/NVIDIA/TensorRT CHANGELOG.md (release/11.1), which says in which version they began to differ
"""

from __future__ import annotations

from dataclasses import dataclass

Version = tuple[int, int]

OPERATORS_MD = "onnx-tensorrt docs/operators.md"
CHANGELOG = "TensorRT CHANGELOG.md"
FIRST, LAST = (10, 0), (11, 1)  # the versions whose documents were read


@dataclass(frozen=True)
class Operator:
    """`types` that its main input may have; `since` the version that first took it."""

    types: frozenset[str]
    since: Version = FIRST


def version_of(text: str) -> Version:
    """ "10.3" -> (10, 3)"""
    major, minor = text.split(".")
    return int(major), int(minor)


def opsets(version: Version) -> range:
    """The operator sets that the parser of a version takes: up to 20 is what 10.0 and 10.1 say, 24 what 10.14 and 11.1 say; for
    versions between, whose documents were not read, the lower bound holds."""
    return range(9, 25) if version >= (10, 14) else range(9, 21)


HALF = "FP32 FP16"
FLOATS = f"{HALF} BF16"
NUMBERS = f"{FLOATS} INT32 INT64"
ANY = f"{NUMBERS} BOOL"

BY_TYPES = {
    HALF: "DeformConv GridSample Mish NonMaxSuppression NonZero RoiAlign",
    FLOATS: """Acos Acosh Asin Asinh Atan Atanh AveragePool BatchNormalization Ceil Celu Clip Conv ConvTranspose Cos Cosh CumSum
        Dropout Einsum Elu Erf Exp Floor GRU Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid
        HardSwish Hardmax InstanceNormalization IsInf LRN LSTM LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LpPool
        MatMul MaxPool MeanVarianceNormalization PRelu Pow QuantizeLinear RNN RandomNormal RandomNormalLike RandomUniform
        RandomUniformLike Reciprocal Resize Round Scan Selu Sigmoid Sin Sinh Softmax Softplus Softsign Sqrt Tan Tanh
        ThresholdedRelu Upsample""",
    NUMBERS: """Abs Add ArgMax ArgMin DepthToSpace Div Equal Greater GreaterOrEqual IsNaN Less LessOrEqual Max Min Mod Mul Neg Pad
        Range ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
        Relu Scatter ScatterElements ScatterND Shrink Sign SpaceToDepth Sub Sum TopK""",
    ANY: """Concat Constant ConstantOfShape Expand EyeLike Flatten Gather GatherElements GatherND Identity If Loop OneHot Reshape
        ReverseSequence Shape Size Slice Split Squeeze Tile Transpose Trilu Unsqueeze Where""",
    "BOOL": "And Not Or Xor",
    f"{ANY} UINT8": "Cast CastLike",
    f"{NUMBERS} INT8": "Gelu",
    f"{NUMBERS} FP8": "Mean",
    "INT8 FP8 INT4": "DequantizeLinear",
}

LATER: dict[Version, dict[str, str]] = {  # taken since then, or of more types since then
    (10, 4): {HALF: "BlackmanWindow HammingWindow HannWindow"},
    (10, 5): {"FP32": "STFT"},
    (10, 8): {"INT8 FP8 INT4 FP4": "DequantizeLinear"},
    (10, 12): {NUMBERS: "Pow"},
    (10, 14): {f"{FLOATS} INT8 FP8": "Attention"},
    (10, 15): {FLOATS: "RMSNormalization RotaryEmbedding", f"{FLOATS} INT32": "TensorScatter"},
    (11, 0): {FLOATS: "Swish"},
}

INSTEAD = {  # what stands for an operator that is not taken
    "DynamicQuantizeLinear": "quantise statically, with QuantizeLinear and DequantizeLinear",
    "MatMulInteger": "quantise statically, with QuantizeLinear and DequantizeLinear",
    "ConvInteger": "quantise statically, with QuantizeLinear and DequantizeLinear",
    "QLinearMatMul": "quantise in the QDQ form, with QuantizeLinear and DequantizeLinear",
    "QLinearConv": "quantise in the QDQ form, with QuantizeLinear and DequantizeLinear",
}


def operators(version: Version) -> dict[str, Operator]:
    """By name, those that the parser of a version takes."""
    found: dict[str, Operator] = {}
    for since, table in ((FIRST, BY_TYPES), *sorted(LATER.items())):
        if since > version:
            break
        for types, names in table.items():
            for name in names.split():
                first = found[name].since if name in found else since
                found[name] = Operator(frozenset(types.split()), first)
    return found


def taken_since(name: str) -> Version | None:
    """The first version that takes an operator; None where none does."""
    found = operators(LAST).get(name)
    return found.since if found else None
