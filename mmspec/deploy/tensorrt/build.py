"""Builds the TensorRT engines of a package, on the machine and with the version that will run them.

    python tensorrt/build.py            # in the package; writes the engines that plan.json names, each whole or not at all

Needs tensorrt (10.0 or newer) with a GPU; nothing of mmspec. The types in the ONNX files are the engine's: the network is
strongly typed, and TF32 is off, so that float32 is float32. An engine runs with the TensorRT and the kind of GPU that built it.

plan.json   tensorrt        the version that the files were checked for, "10.3"
            workspace_mib   memory that a layer may use; null for all of the device
            engines         by ONNX file (relative to plan.json): `engine`, where it is written, and `profile`, which has
                            `min`, `opt` and `max` of each input
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CACHE = "timing.cache"  # what was timed once is not timed again


def build(
    onnx: bytes, profile: Mapping[str, Mapping[str, Any]], workspace_mib: int | None, timed: bytes
) -> tuple[bytes, bytes]:
    """An engine, and the timing cache with what was timed for it.   Raises RuntimeError with the parser's own words."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    strongly_typed = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)  # asked for in 10, always so in 11
    network = builder.create_network(strongly_typed)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise RuntimeError("; ".join(str(parser.get_error(i)) for i in range(parser.num_errors)))
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib << 20)
    shapes = builder.create_optimization_profile()
    for name, ends in profile.items():
        shapes.set_shape(name, tuple(ends["min"]), tuple(ends["opt"]), tuple(ends["max"]))
    config.add_optimization_profile(shapes)
    cache = config.create_timing_cache(timed)
    config.set_timing_cache(cache, ignore_mismatch=False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise RuntimeError("TensorRT built no engine; its own messages are above")
    return bytes(engine), bytes(cache.serialize())


def main() -> int:
    """Build what plan.json names. The exit code is 1 if TensorRT is not there, is of another version, or does not take a file."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        import tensorrt as trt
    except ImportError:
        logging.error("this needs tensorrt, with the GPU that the engines are for")
        return 1
    plan = json.loads((HERE / "plan.json").read_text(encoding="utf-8"))
    found = ".".join(trt.__version__.split(".")[:2])
    if found != plan["tensorrt"]:
        logging.error("this is TensorRT %s, and the files were checked for %s", found, plan["tensorrt"])
        return 1
    cache = HERE / CACHE
    timed = cache.read_bytes() if cache.exists() else b""
    for name, each in plan["engines"].items():
        logging.info("%s -> %s", name, each["engine"])
        try:
            engine, timed = build((HERE / name).read_bytes(), each["profile"], plan["workspace_mib"], timed)
        except RuntimeError as error:
            logging.error("%s", error)
            return 1
        write(HERE / each["engine"], engine)
        write(cache, timed)
    return 0


def write(path: Path, content: bytes) -> None:
    """The file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


if __name__ == "__main__":
    sys.exit(main())
