"""The judge: a process of its own, with little memory and time, that may write no file. `mmspec.packaged.verify` starts it.

python -m mmspec.packaged.judging FOLDER BYTES SECONDS     ->  one JSON object on stdout
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from mmspec.host import STAGES
from mmspec.packaged.layout import CONTRACT, GOLDEN, WEIGHTS
from mmspec.packaged.reading import Unfit, changed_files, read_contract, read_json, read_manifest

SHOWN, LONGEST = 20, 1000  # problems, and signs of one: a tensor's name may have millions


def judge(folder: Path) -> dict[str, Any]:
    """What there is to say of a package; each step only if those before it found nothing, since it relies on them."""
    said: dict[str, Any] = {"problems": [], "checked": [], "errors": {}, "model": None, "identity": None}
    problems, checked = said["problems"], said["checked"]
    try:
        manifest = read_manifest(folder)
        said |= {"model": manifest.get("model"), "identity": manifest.get("identity")}
        problems += changed_files(folder, manifest)
        if problems:
            return said
        checked.append(f"{len(manifest['files'])} files, each of the size and sha256 in the manifest")
        _judge_contents(folder, manifest, said)
    except Unfit as error:
        problems.append(str(error))
    except MemoryError:
        problems.append("it needs more memory than it is given")
    except Exception as error:  # of what is read as if it were right: whatever is wrong with it is said in a line
        problems.append(f"it cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    return said


def _judge_contents(folder: Path, manifest: dict[str, Any], said: dict[str, Any]) -> None:
    from mmspec.packaged import models  # onnx is imported only for what is whole
    from mmspec.packaged.answers import asked_of, compared

    problems, checked, files = said["problems"], said["checked"], manifest["files"]
    for name in (CONTRACT, WEIGHTS, GOLDEN):
        if name not in files:
            raise Unfit(f"it has no {name}")
    contract, paths = read_contract(folder), models.files_that_run(folder, manifest)
    precision = str(contract.get("precision", "fp32"))
    protos = {path: models.opened(folder, path) for path in paths}
    for path, proto in protos.items():
        problems += models.misplaced_weights(folder, path, proto, files)
    if problems:
        return
    for path, proto in protos.items():
        problems += models.malformed(folder, path, proto)
    if problems:
        return
    for path, proto in protos.items():
        problems += models.other_weights(folder, path, proto, precision)
        problems += models.other_ranges(folder, path, proto, contract)
    if paths == (manifest["runs"],):
        problems += models.other_ports(paths[0], protos[paths[0]], contract)
    if not manifest["runs"].endswith(f"/{STAGES}"):  # of what writes a text, stacks lie in the first file, the encoder
        problems += models.other_thresholds(protos[paths[0]], contract)
    else:
        plan = read_json(folder / manifest["runs"], manifest["runs"])
        if list(contract.get("thresholds", {}).values()) != [plan.get("thresholds")]:
            problems.append(f"the thresholds in {manifest['runs']} are not those of the contract")
    if problems:
        return
    told = "1 ONNX file is valid, is" if len(protos) == 1 else f"{len(protos)} ONNX files are valid, are"
    checked.append(f"{told} what the contract says, and of the weights in {WEIGHTS}, to the rounding of {precision}")
    asked = asked_of(str(contract.get("runtime", "onnxruntime")), precision)
    problems += compared(folder, manifest["runs"], contract, said["errors"], asked.load)
    if not problems:
        checked.append(f"golden answers of {asked.name}, within the contract's tolerance")


def limit(memory: int, seconds: int) -> None:
    """No more of this machine than that for this process, where the system can say so."""
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for which, wanted in limits.items():
        hard = resource.getrlimit(which)[1]
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (allowed, allowed))


if __name__ == "__main__":
    limit(int(sys.argv[2]), int(sys.argv[3]))
    result = judge(Path(sys.argv[1]))
    result["problems"] = [problem[:LONGEST] for problem in result["problems"][:SHOWN]]
    os.write(1, json.dumps(result).encode())
    os._exit(0)  # a runtime that dies on its way out has said what it had to say
