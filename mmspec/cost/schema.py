"""The JSON Schema of a profile: every field, what it means and in which unit. `mmspec schema --profile` prints it."""

from __future__ import annotations

from typing import Any

from mmspec.cost.profile import SCHEMA

Schema = dict[str, Any]


def profile_schema() -> Schema:
    """Closed: a field that is not in it is not in a profile."""
    from mmspec.cost.measured_schema import calibrated, measured  # which are made of what is below

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "what a spec costs",
        **_record(
            "FLOPs are 2 per multiply-add; sizes are in bytes; null is what is not known, with the reason under `unknown`",
            {
                "exact": {"type": "object", "description": "with --exact: figures beside those of a run of the module"},
                "measured": measured(), "calibrated": calibrated(),
            },
            schema={"const": SCHEMA, "description": "the version; raised when a figure changes its meaning, not when one is added"},
            name=_text("of the spec"),
            sizes=_map("the batch B and the lengths that were priced", _count("")),
            parameters=_record(
                "trained numbers",
                total=_count("all", unknown=True),
                active=_count("those that one token meets: its k experts", unknown=True),
                trainable=_count("not frozen", unknown=True),
                shared=_count("used by several nodes", unknown=True),
                known=_count("of what declares them: all, or those that are known"),
            ),
            flops=_record(
                "forward FLOPs of products, of the batch",
                total=_count("every exit and all that is active", unknown=True),
                minimum=_count("if all samples leave at the first exit", unknown=True),
                maximum=_count("if none leaves early", unknown=True),
                expected=_real("over where samples leave and what tokens choose, finished samples dropped", unknown=True),
                expected_uncompacted=_real("the same of a batch that runs to its last sample", unknown=True),
                known=_count("of what has a price: the total, or the part of it that is known"),
            ),
            forward=_or_null(_work("of one pass with every exit")),
            backward=_or_null(
                _work("of its gradients: two products for each of the forward's, fewer where nothing needs a gradient")
            ),
            decoding=_or_null(
                _record(
                    "one more token of the text that the model writes; null where it writes none",
                    text=_text("the input that is written"),
                    tokens=_count("in it, the new one included"),
                    step=_work("of the step, kept keys and values read"),
                    cache=_record(
                        "keys and values that are kept",
                        bytes=_count("of the text itself, all layers and samples"),
                        per_token=_count("by which that grows"),
                        context=_count("bytes of those made of other inputs, once"),
                    ),
                )
            ),
            communication=_record(
                "between devices where experts are placed on several",
                bytes=_count("per pass"),
                load={"const": "even", "description": "each expert gets as much"},
            ),
            memory=_record(
                "bytes",
                weights=_count("of all parameters, at the precision", unknown=True),
                activations=_count("the most that live at once at inference", unknown=True),
                peak_inference=_count("both", unknown=True),
                peak_training=_count("of a step", unknown=True),
            ),
            training=_or_null(_training()),
            roles=_map(
                "by role of the nodes", _record(
                    "",
                    parameters=_count("of the role", unknown=True),
                    flops=_count("of the role", unknown=True),
                )
            ),
            by=_or_null(_record(
                "the bill added up",
                role=_groups("encoders, fusion, heads; inputs: what is done to an input"),
                modality=_groups("inputs that flow into a node: image, text, image+text"),
                stage=_groups("what stands directly in a node; alike blocks of a stack together"),
                kind=_groups("kinds of operations"),
                **{"class": _groups("linear, convolution, attention, experts; other: without products")},
            )),
            coverage=_record(
                "whether everything has a price",
                complete={"type": "boolean", "description": "whether totals are known"},
                without_rule={"type": "array", "description": "operations without one", "items": _record(
                    "",
                    path=_text("of its module; alike blocks of a stack share one, without a number"),
                    kind=_text("of the operation"),
                    module=_text("what it calls"),
                    lacks={"type": "array", "items": {"enum": ["FLOPs", "parameters", "memory"]}},
                )},
            ),
            nodes={"type": "array", "description": "in the order of the data flow", "items": _node()},
            experts={"type": "array", "description": "each layer of experts", "items": _experts()},
            roofline=_or_null(_roofline()),
            fit=_or_null(_fit()),
            unknown=_map("by figure, why it is null", _text("")),
            notes={"type": "array", "description": "what the compiler did unasked", "items": _text("")},
        ),
        "$defs": {"work": _work_fields(), "part": _part()},
    }  # fmt: skip


def _training() -> Schema:
    place = {"path": _text("in the model; empty for the losses"), "kind": _text("of the operation")}
    return _record(
        "what a training step holds, in bytes; null unless asked for",
        weights=_count("at the precision"),
        buffers=_count("constants and running statistics"),
        states=_count("of the optimizer"),
        master=_count("copies of the weights in float32"),
        inputs=_count("a batch and its targets"),
        gradients=_count("of all weights, when the backward is done"),
        saved=_count("kept for the backward when the forward ends", unknown=True),
        peak=_count("the most at once", unknown=True),
        at=_or_null(_record("where that is", **place, phase=_text("forward, backward, recomputation, optimizer"))),
        alive={
            "type": "array",
            "description": "what is held there; sums to the peak",
            "items": _record("", **place, what=_text("for: weights, states, forward, backward, ..."), bytes=_count("")),
        },
        update=_record(
            "what the optimizer does in a step",
            pointwise=_count("elementary operations"),
            read=_count("bytes"),
            written=_count("bytes"),
        ),
        cuda=_or_null(
            _record(
                "CUDA's caching allocator, simulated",
                live=_count("the most that tensors hold"),
                allocated=_count("in blocks of 512 bytes"),
                reserved=_count("in segments"),
                verified={"type": "boolean", "description": "held to a GPU's own figures"},
            )
        ),
        unknown={"type": "array", "description": "operations without a rule", "items": _text("")},
        notes={"type": "array", "description": "what is taken for granted", "items": _text("")},
    )


def _node() -> Schema:
    maybe = {"type": ["array", "null"], "items": _count("")}
    optional: Schema = {
        "flops_by_exit": {**maybe, "description": "of samples that leave at each exit, the heads it asks included"},
        "exit_rates": {"type": ["array", "null"], "items": _real(""), "description": "shares of samples that leave at each exit"},
        "source": {"enum": ["stated", "measured", None], "description": "where the exit rates are known from"},
        "flops_by_branch": {**maybe, "description": "of everything sent through each branch"},
        "children": _children(),
    }  # fmt: skip
    return _record(
        "a node",
        optional,
        name=_text("its module's name"),
        role=_text("encoders, fusion, decoders, heads"),
        type=_text("of its component"),
        modality=_text("inputs that flow into it"),
        output=_text("shape of its first output"),
        parameters=_count("its own; 0 where they are another node's", unknown=True),
        active=_count("those that one token meets", unknown=True),
        flops=_count("every exit, and what exits ask of it", unknown=True),
        minimum_flops=_count("if all samples leave at the first exit", unknown=True),
        expected_flops=_real("on average", unknown=True),
        expected_flops_uncompacted=_real("of a batch that runs to its last sample", unknown=True),
        forward=_or_null(_work("of one pass")),
        backward=_or_null(_work("of its gradients")),
        memory=_record(
            "bytes",
            weights=_count("of its parameters", unknown=True),
            activations=_count("the most that is alive while it runs", unknown=True),
        ),
    )


def _part() -> Schema:
    return _record(
        "a scope or an operation inside a node; figures are of all its runs and copies",
        {"children": _children()},
        path=_text("of its module; alike blocks of a stack share one, without a number"),
        kind=_text("class of a scope, kind of an operation"),
        times=_count("runs in one run of what it stands in"),
        output={"type": "array", "items": _count(""), "description": "shape of its first output"},
        dtype=_text("of its first output"),
        parameters=_count("of all copies", unknown=True),
        flops=_count("forward", unknown=True),
        forward=_or_null(_work("of one pass")),
        backward=_or_null(_work("of its gradients")),
    )


def _children() -> Schema:
    return {"type": "array", "description": "what is inside, with --depth", "items": {"$ref": "#/$defs/part"}}


def _experts() -> Schema:
    numbers, reals = {"type": "array", "items": _count("")}, {"type": ["array", "null"], "items": _real("")}
    return _record(
        "a layer of experts",
        module=_text("its name in the built model"),
        experts=_count("how many there are"),
        k=_count("how many a token meets"),
        tokens=_count("that are sent, padding too, as if no sample had left before"),
        flops_per_token={**numbers, "description": "of each expert"},
        expected_flops={**reals, "description": "of each expert, of the batch"},
        parameters={**numbers, "description": "of each expert"},
        load={**reals, "description": "each one's share of the choices"},
        source={"enum": ["stated", "measured", None], "description": "where the load is known from"},
        imbalance=_real("the largest load over the mean", unknown=True),
        touched=_record(
            "experts that are read at least once",
            expected=_real("with this load", unknown=True),
            even_load=_real("an upper limit that needs no measurement"),
        ),
        weight_bytes=_record(
            "that these move",
            expected=_real("with this load", unknown=True),
            even_load=_real("with even loads"),
            all=_count("of all experts"),
        ),
    )


def _roofline() -> Schema:
    bound = {
        "lower_bound_ms": _real("no run of these operations takes less"),
        "compute_ms": _real("of the products at the device's peak; null where that is not known", unknown=True),
        "memory_ms": _real("of the bytes that must move"),
        "op_by_op_ms": _real("if every operation reads its inputs and writes its outputs: no bound", unknown=True),
        "memory_bound_share": _real("of that, the time of operations that memory holds up", unknown=True),
        "compute_bound_share": _real("the rest of it", unknown=True),
    }
    return _record(
        "on a device, with --device; null without",
        device=_text("its key in `mmspec devices`, or a file"),
        name=_text("of the device"),
        precision=_text("of all numbers there"),
        batch=_count("samples at once"),
        **bound,
        samples_per_second=_real("no more than these; null where nothing bounds them", unknown=True),
        ridge_flops_per_byte=_real("above it arithmetic holds products up, below it memory", unknown=True),
        cache_bytes=_count("that the whole chip shares; null where it is not known", unknown=True),
        nodes={
            "type": "array", "description": "each as if it ran alone", "items": _record("", name=_text("of the node"), **bound),
        },
        training=_or_null(_record("a training step: forward and backward, without the optimizer's arithmetic", **bound)),
        decoding=_or_null(_record("a step of writing; null where the model writes none", **bound)),
        unknown={"type": ["string", "null"], "description": "why a figure is null"},
    )  # fmt: skip


def _fit() -> Schema:
    return _record(
        "whether inference fits on the device; bytes",
        device=_text("its key"),
        precision=_text("of all numbers there"),
        batch=_count("samples at once"),
        fits={"type": "boolean", "description": "needed <= allowed"},
        needed=_count("weights, inputs and the activations that live at once"),
        weights=_count("at that precision"),
        allowed=_real("what is left of the memory"),
        memory=_count("of the device"),
        held_back=_real("for a context, libraries, a system"),
        allocator_slack=_real("share that an allocator reserves over what lives"),
        largest_batch=_count("that fits at the same lengths; 0: none does"),
        training=_or_null(
            _record(
                "the same of a training step, with --train",
                step=_text("optimizer and precision"),
                fits={"type": "boolean", "description": "needed <= allowed"},
                needed=_count("the most that a step holds"),
                largest_batch=_count("that fits at the same lengths; 0: none does"),
            )
        ),
    )


def _groups(description: str) -> Schema:
    figures = _record(
        "",
        parameters=_count("of all copies"),
        flops=_count("forward"),
        forward=_work("of one pass"),
        backward=_work("of its gradients"),
    )
    return _map(description, figures)


def _work(description: str) -> Schema:
    return {"$ref": "#/$defs/work", "description": description}


def _work_fields() -> Schema:
    return _record(
        "what is computed and moved",
        flops=_count("of products, 2 per multiply-add"),
        macs=_count("multiply-adds, half of the FLOPs"),
        linear=_count("FLOPs of linear layers"),
        convolution=_count("FLOPs of convolutions"),
        attention=_count("FLOPs of attention products"),
        experts=_count("FLOPs of all products inside routed experts"),
        pointwise=_count("operations on single elements: activations, norms, softmax, sums; not in the FLOPs"),
        read=_count("bytes: inputs and weights of each operation"),
        written=_count("bytes: outputs of each operation; views move nothing"),
        intensity=_real("FLOPs per byte; null where nothing is moved", unknown=True),
    )


def _record(description: str, optional: Schema | None = None, **fields: Schema) -> Schema:
    return {
        **_said(description), "type": "object", "additionalProperties": False, "required": list(fields),
        "properties": {**fields, **(optional or {})},
    }  # fmt: skip


def _or_null(schema: Schema) -> Schema:
    """Where the figure does not exist for every model."""
    return {**_said(schema["description"]), "anyOf": [schema, {"type": "null"}]}


def _map(description: str, values: Schema) -> Schema:
    return {**_said(description), "type": "object", "additionalProperties": values}


def _count(description: str, unknown: bool = False) -> Schema:
    return {"type": ["integer", "null"] if unknown else "integer", "minimum": 0, **_said(description)}


def _real(description: str, unknown: bool = False) -> Schema:
    return {"type": ["number", "null"] if unknown else "number", "minimum": 0, **_said(description)}


def _text(description: str) -> Schema:
    return {"type": "string", **_said(description)}


def _said(description: str) -> Schema:
    return {"description": description} if description else {}
