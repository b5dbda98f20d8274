"""Would TensorRT's parser take these files? Each node against what the parser's documents say of its operator, types and
attributes, sub-graphs included.

What the documents rule out is blocking: the export fails, with the line of the spec that the node comes from. What only shows when
the engine is built or runs, or is nowhere said, is a caution: it stands in the report. TensorRT itself is not asked, and
need not be there.

Source   operators.py and limits.py, which name the documents and their versions
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mmspec.deploy.contract import Range, terms
from mmspec.deploy.places import place
from mmspec.deploy.tensorrt.limits import limits
from mmspec.deploy.tensorrt.operators import INSTEAD, OPERATORS_MD, Version, operators, opsets, taken_since
from mmspec.deploy.tensorrt.site import TYPES, Site, origin, sites
from mmspec.spec import ModelSpec, SpecError
from mmspec.spec.diagnostics import Diagnostic

if TYPE_CHECKING:
    import onnx

GUIDE = "TensorRT developer guide, Working with Dynamic Shapes"
OWN = "no document says; we have not tried it"


@dataclass(frozen=True)
class Finding:
    """A node that the parser does not take, or may not.

    node, operator   in the ONNX file `file`; several alike are one finding, `count` says of how many
    rule, source     what does not hold, and who says that it must
    blocking         whether it is sure
    path             the place of the spec that the node comes from, such as "fusion.joint.router"
    """

    file: str
    node: str
    operator: str
    rule: str
    source: str
    blocking: bool
    path: str = ""
    instead: str = ""
    count: int = 1

    def __str__(self) -> str:
        more = f" and {self.count - 1} more" if self.count > 1 else ""
        return f"{self.node} ({self.operator} in {self.file}{more}): {self.rule}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


Complaint = tuple[str, str, bool, str]  # rule, source, blocking, what to do instead
Rule = Callable[[Site, Version], Iterator[Complaint]]


def check_parsing(
    protos: Mapping[str, onnx.ModelProto],
    dims: Mapping[str, Range],
    weights: Iterable[str],
    spec: ModelSpec,
    version: Version,
) -> tuple[Finding, ...]:
    """What is only a caution.   Raises SpecError: everything that is blocking, each at its place of the spec."""
    found = findings(protos, dims, weights, spec, version)
    blocking = [finding for finding in found if finding.blocking]
    if blocking:
        raise SpecError([_diagnostic(finding, spec, version) for finding in blocking])
    return found


def findings(
    protos: Mapping[str, onnx.ModelProto],
    dims: Mapping[str, Range],
    weights: Iterable[str],
    spec: ModelSpec,
    version: Version,
) -> tuple[Finding, ...]:
    """All that is to be said of some files, by name; those alike are told once.

    dims      the dynamic sizes that have a least and a greatest
    weights   names of the model's parameters and thresholds: they say to what of the spec a node belongs
    """
    known = set(weights)
    alike: dict[tuple[str, ...], list[Finding]] = {}
    for file, proto in protos.items():
        for finding in (*_of_file(file, proto, dims, version), *_of_nodes(file, proto, known, spec, version)):
            alike.setdefault((finding.operator, finding.rule, finding.path), []).append(finding)
    return tuple(Finding(**{**asdict(same[0]), "count": len(same)}) for same in alike.values())


def _of_file(file: str, proto: onnx.ModelProto, dims: Mapping[str, Range], version: Version) -> Iterator[Finding]:
    told, allowed = in_words(version), opsets(version)
    for entry in proto.opset_import:
        if not entry.domain and entry.version not in allowed:
            rule = f"opset {entry.version} where TensorRT {told} takes {allowed.start} to {allowed.stop - 1}"
            yield Finding(file, "the file", "opset", rule, OPERATORS_MD, True, instead="opset: 20 in the target")
    for value in proto.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            unknown = [term for term in terms(dim.dim_param) if term not in dims and isinstance(term, str)]
            if dim.dim_param and unknown:
                rule = f"its dimension {dim.dim_param} has no least and greatest size, which a dynamic dimension needs"
                yield Finding(file, value.name, "input", rule, GUIDE, True)


def _of_nodes(
    file: str, proto: onnx.ModelProto, weights: set[str], spec: ModelSpec, version: Version
) -> Iterator[Finding]:
    anchors = dict.fromkeys((*weights, *(value.name for value in proto.graph.input)))
    for site in sites(proto):
        for rule in RULES:
            for says, source, blocking, instead in rule(site, version):
                nearest = origin(site.known, (*site.node.input, *site.node.output), anchors)
                path = place(nearest, spec) if nearest else ""
                yield Finding(file, site.node.name, site.operator, says, source, blocking, path, instead)


def _is_taken(site: Site, version: Version) -> Iterator[Complaint]:
    """The operator is one of ONNX's that this version knows."""
    if site.node.domain not in ("", "ai.onnx"):
        says = f"TensorRT takes ONNX's own operators, not those of {site.node.domain}"
        yield says, OPERATORS_MD, True, INSTEAD.get(site.operator, "")
    elif site.operator not in operators(version):
        since = taken_since(site.operator)
        later = f"; {in_words(since)} is the first that does" if since else ""
        says = f"TensorRT {in_words(version)} does not take {site.operator}{later}"
        yield says, OPERATORS_MD, True, INSTEAD.get(site.operator, "")


def _has_types(site: Site, version: Version) -> Iterator[Complaint]:
    """Its main input, and all that are of its type, have a type that is taken."""
    operator = operators(version).get(site.operator)
    if operator is None or site.node.domain not in ("", "ai.onnx"):
        return
    for found in dict.fromkeys(_types(site)):
        if found == "DOUBLE":
            says = "TensorRT computes it in FP32: its support of DOUBLE is limited"
            yield says, OPERATORS_MD, False, ""
        elif found not in operator.types:
            said = ", ".join(sorted(operator.types, key=list(TYPES.values()).index))
            says = f"TensorRT {in_words(version)} takes {said}, and this is {found}"
            yield (
                says,
                OPERATORS_MD,
                True,
                "with exits: stages in the target there is no If" if "If" in site.inside else "",
            )


def _types(site: Site) -> Iterator[str]:
    """Types of the operands that the table speaks of."""
    from onnx import defs

    names = list(site.node.input)
    if site.operator == "Cast":
        yield TYPES.get(site.attribute("to"), "unknown")
    if site.operator in ("If", "Loop") or not names or site.operator == "ConstantOfShape":
        names = list(site.node.output)
    else:
        formal = defs.get_schema(site.operator, OPSET).inputs
        main = formal[0].type_str
        last = len(formal) - 1
        names = [name for i, name in enumerate(names) if formal[min(i, last)].type_str in (main, "T")]
    yield from (site.known.types[name] for name in names if name in site.known.types)


OPSET = 24  # in which the formal types of operands are looked up; they have not changed place since 13


def _keeps_limits(site: Site, version: Version) -> Iterator[Complaint]:
    """What is asked of the operator's nodes."""
    for limit in limits(site.operator, version):
        kept = limit.kept(site)
        if kept is False:
            yield f"TensorRT {in_words(version)} wants that {limit.says}", limit.source, True, ""
        elif kept is None:
            yield f"whether {limit.says} cannot be seen in the file", limit.source, False, ""


def _counts_outside(site: Site, version: Version) -> Iterator[Complaint]:
    """A size that depends on data, inside of a control flow."""
    if site.operator in ("NonZero", "Compress", "Unique", "NonMaxSuppression") and site.inside:
        says = f"the size of what it gives depends on data, inside of {site.inside[-1]}"
        yield says, OWN, False, ""


RULES: tuple[Rule, ...] = (
    _is_taken,  # the others know only operators that are
    _has_types,
    _keeps_limits,
    _counts_outside,
)


def in_words(version: Version) -> str:
    return ".".join(map(str, version))


def _diagnostic(finding: Finding, spec: ModelSpec, version: Version) -> Diagnostic:
    notes = (finding.instead, f"source: {finding.source}")
    where = spec.at(finding.path) if finding.path else None
    return Diagnostic(str(finding), where, tuple(note for note in notes if note), file=spec.file)


def summary(found: Sequence[Finding], version: Version, nodes: int) -> str:
    """The check that was passed, in words."""
    cautions = f"; {len(found)} cautions" if found else ""
    return (
        f"{nodes:,} nodes, sub-graphs included, are of operators, types and attributes that the documents of TensorRT "
        f"{in_words(version)} say its ONNX parser takes{cautions}"
    )
