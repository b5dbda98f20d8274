"""What a spec's exported file takes on this machine, measured before it is trained: one sample, one thread, ONNX Runtime.

A network that never leaves early takes as long with fresh weights as with trained ones, so that its latency is known before
training, and may be a limit. One that may leave early is measured with its exits shut: the time of a sample that goes on to the
last. The least of many runs is taken, because what else the machine does can only add to it. Each spec is exported and measured
once in the life of a study (`latency.json` in its folder), so that a resumed search decides as it would have.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmspec.clock import processor
from mmspec.errors import Failure, UserError
from mmspec.files import write_atomically
from mmspec.spec.diagnostics import SpecError
from mmspec.study.candidate import LATENCY, Candidate, timed
from mmspec.study.evaluation import Untrainable
from mmspec.study.plan import Plan, reference_of

if TYPE_CHECKING:
    from mmspec.cost.limits import Limit
    from mmspec.spec import ModelSpec
    from mmspec.study.file import Study

FILE = "latency.json"
TARGET = "edge_cpu_fp32"
SECONDS = 0.5  # of runs, after the first few
LEAST_RUNS, WARM_UP = 20, 5


@dataclass
class Stopwatch:
    """Measures each spec once.   file: where times are kept; None keeps them for as long as this lives"""

    file: Path | None = None
    _known: dict[str, float | str] = field(default_factory=dict)  # by digest: milliseconds, or why there are none

    @staticmethod
    def of(folder: Path) -> Stopwatch:
        """The times of a study's folder.   Raises UserError: they were measured on another processor"""
        watch = Stopwatch(folder / FILE)
        if (folder / FILE).is_file():
            kept = json.loads((folder / FILE).read_text(encoding="utf-8"))
            if kept["processor"] != processor():
                raise UserError(
                    f"latencies in {folder} were measured on {kept['processor']}, and this is {processor()}: "
                    "they cannot be compared. Go on there, or start anew with --restart"
                )
            watch._known = kept["specs"]
        return watch

    def __call__(self, candidate: Candidate) -> float:
        """Milliseconds.   Raises Untrainable: it cannot be exported"""
        if candidate.digest not in self._known:
            assert candidate.spec is not None
            try:
                self._known[candidate.digest] = milliseconds(candidate.spec)
            except Untrainable as error:
                self._known[candidate.digest] = str(error)
            if self.file is not None:
                write_atomically(self.file, json.dumps({"processor": processor(), "specs": self._known}, indent=2))
        found = self._known[candidate.digest]
        if isinstance(found, str):
            raise Untrainable(found)
        return found

    def bars(self, candidate: Candidate, limits: Sequence[Limit]) -> bool:
        """Whether a spec was found too slow, or was not to be exported."""
        found = self._known.get(candidate.digest)
        return isinstance(found, str) or (found is not None and bool(timed(candidate, limits, found).problem))


def milliseconds(spec: ModelSpec) -> float:
    """The least of many runs of one sample, texts of middle length.   Raises Untrainable: it cannot be exported"""
    import numpy as np

    from mmspec.deploy.cases import plain_case
    from mmspec.deploy.draft import draft_of
    from mmspec.deploy.file import with_arrays
    from mmspec.deploy.package import require_packages
    from mmspec.deploy.subject import subject_of
    from mmspec.deploy.target import load_target
    from mmspec.deploy.watching import stacks_of

    require_packages()
    try:
        draft = draft_of(subject_of(spec), load_target(TARGET))
    except (Failure, UserError, SpecError) as error:
        raise Untrainable(f"cannot be exported: {' '.join(str(error).split())[:200]}") from error
    shut = {
        f"{name}.thresholds": np.full(stack.earlier, np.inf, np.float32)
        for name, stack in stacks_of(draft.module).items()
    }
    session = _session(with_arrays(draft.proto, shut) if shut else draft.proto)
    inputs = plain_case(draft.contract, 1, 0).inputs
    feed = {port.name: tensor.numpy() for port, tensor in zip(draft.contract.inputs, inputs, strict=True)}
    for _ in range(WARM_UP):
        session.run(None, feed)
    least, runs, end = float("inf"), 0, time.perf_counter() + SECONDS
    while runs < LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        session.run(None, feed)
        least, runs = min(least, time.perf_counter() - start), runs + 1
    return round(1e3 * least, 4)


def _session(proto: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def wanted(study: Study) -> bool:
    """Whether a study seeks or limits the latency."""
    return any(o.name == LATENCY for o in study.objectives) or any(
        limit.figure == LATENCY for limit in study.parsed_limits
    )


def with_ends(planned: Plan, watch: Stopwatch) -> Plan:
    """The plan with its cheapest and its largest spec measured: the latter is the reference of the hypervolume.

    Raises   SpecError: the cheapest breaks a limit on the latency, or cannot be exported; located
    """
    study, limits = planned.study, planned.pricer.limits
    small, large = planned.ends
    try:
        small = timed(small, limits, watch(small))
    except Untrainable as error:
        raise SpecError([study.diagnostic(("space",), f"the smallest spec of the space {error}")]) from None
    for i, limit in enumerate(limits):
        if limit.figure == LATENCY and limit.violation(small.figures[LATENCY]) > 0:
            message = f"the smallest spec of the space does not keep this limit: it takes {small.figures[LATENCY]:.3g} ms here"
            raise SpecError([study.diagnostic(("limits", i), message, "one sample, one thread, ONNX Runtime")])
    try:
        large = timed(large, limits, watch(large))
    except Untrainable:
        large = small
    return replace(planned, ends=(small, large), reference=reference_of(study, _kept(large, planned)))


def _kept(large: Candidate, planned: Plan) -> Candidate:
    """A largest spec that is over a limit on the latency stands at that limit."""
    bounds = [limit.bound for limit in planned.pricer.limits if limit.figure == LATENCY and limit.relation == "<="]
    least = min([large.figures[LATENCY], *bounds])
    return replace(large, figures={**large.figures, LATENCY: least})
