"""What is in a profile's JSON where it was asked to measure; docs/measuring.md explains it. Milliseconds, bytes."""

from __future__ import annotations

from mmspec.cost.schema import Schema, _count, _map, _or_null, _real, _record, _text


def measured() -> Schema:
    """With `--measure`."""
    return _record(
        "runs on this machine, every sample to the last exit",
        schema={"const": 1, "description": "the version of this part"},
        machine=_machine(),
        device=_text("cpu or cuda"),
        sizes=_map("the batch B and the lengths that were run", _count("")),
        runtimes=_map("by runtime: torch, serving, compile, onnx", _runtime()),
        missing=_map("by runtime that could not be had, why", _text("")),
        nodes=_or_null(
            _record(
                "the fastest run in torch with clocks at the nodes",
                ms=_map("by node", _real("")),
                between_ms=_real("what is left of the run"),
                total_ms=_real("the run"),
                overhead=_signed("how much slower it is than the fastest run without clocks, a share"),
            )
        ),
        memory=_map("held by tensors, grown by the process; on CUDA allocated, reserved", _count("", unknown=True)),
        predicted=_map("bytes of weights and activations; seconds of roofline and calibrated", _real("", unknown=True)),
        calibrated=_or_null(calibrated()),
        notes={"type": "array", "description": "what the runs were given", "items": _text("")},
    )


def calibrated() -> Schema:
    """With `--calibrated`."""
    return _record(
        "the sum of what the model's different operations take on a processor",
        minimum_ms=_real("of the fastest run"),
        typical_ms=_real("the same of medians"),
        error=_real("of the fastest run, a share that benchmarks hold it to"),
        unsteady_share=_real("of the time, in operations whose runs did not agree"),
        nodes=_map("ms by node; the empty name is what is done to inputs", _real("")),
        operations={
            "type": "array",
            "description": "the dearest first",
            "items": _record(
                "",
                operation=_text("kind and shapes"),
                node=_text("that it is in"),
                times=_count("runs in a pass"),
                minimum_ms=_real("of one run"),
                median_ms=_real("of one run"),
            ),
        },
        measured=_count("operations that were measured for this"),
        known=_count("operations that were known"),
        machine=_machine(),
        warning={"type": ["string", "null"], "description": "where that is another machine than this"},
    )


def _runtime() -> Schema:
    return _record(
        "",
        runs=_count("that were timed"),
        minimum_ms=_real("the fastest"),
        median_ms=_real("half are faster"),
        first_quartile_ms=_real("a quarter is faster"),
        third_quartile_ms=_real("a quarter is slower"),
        maximum_ms=_real("the slowest"),
        spread=_real("between the quartiles, as a share of the median; null of one run", unknown=True),
        steady={"type": "boolean", "description": "whether the median may be said to be the time"},
        prepared_s=_real("seconds that went into making it", unknown=True),
        difference=_real("of its outputs from torch's, the largest", unknown=True),
    )


def _machine() -> Schema:
    return _record(
        "what decides how fast the same code runs",
        {"gpu": _text("the CUDA device")},
        cpu=_text("the processor"),
        cores=_count("that the process may use"),
        threads=_count("that computed"),
        torch=_text("its version"),
        system=_text("and the kind of machine"),
    )


def _signed(description: str) -> Schema:
    return {"type": ["number", "null"], "description": description}
