"""What lies where in a package.

manifest.json         size and sha256 of every other file, versions, provenance
spec.yaml             resolved: every default written out
model.py              the same model as stand-alone source, torch only
model.safetensors     its weights, by our names
LICENSE               of what is mmspec's in here: model.py, host.py and writer.py
licences/             of weights, data and tokenizers, where whoever exported it handed them over
onnx/                 model.onnx; or stage models, stages.json and host.py; or files that write a text, writer.json, writer.py and
                      host.py; where weights lie beside them, model.onnx.data of one file, weights.data of several
tensorrt/, triton/    what builds and holds engines, and a model repository, where the target asks for them
contract.json         inputs and outputs by name: type, dimensions, meaning, how they are read, how far they may be off
data/                 what reads inputs as training did, tokenizers among it
golden.safetensors    inputs, and what torch gives for them
measurements.json     latency and memory where it was exported: the one file that two exports of the same do not share
verification.json     what was proved, and how; verification.html is the same as a page
"""

from __future__ import annotations

MANIFEST, CONTRACT, GOLDEN = "manifest.json", "contract.json", "golden.safetensors"
SPEC, SOURCE, WEIGHTS = "spec.yaml", "model.py", "model.safetensors"
LICENSE, LICENCES = "LICENSE", "licences"
VERIFICATION, PAGE, DATA = "verification.json", "verification.html", "data"
MEASUREMENTS = "measurements.json"
ONNX, BESIDE = "onnx", ".data"  # the folder of what runs, and what a file with a model's weights is called after it
