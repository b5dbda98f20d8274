"""The verification page: what a sceptic asks of an exported file, answered on one page that opens offline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from mmspec.deploy.contract import Contract, Port
from mmspec.deploy.parity import Compared
from mmspec.deploy.report import Report
from mmspec.deploy.target import Verify


def render(report: Report) -> str:
    """The page as text. All names are escaped."""
    css = files("mmspec.deploy").joinpath("page.css").read_text("utf-8")
    title = f"{escape(report.model)} for {escape(report.target.name)}"
    sections = (
        f"<h1>{title}: verified</h1>",
        _lead(report),
        _weights(report),
        _facts(report),
        _contract(report.contract, report.target.verify),
        "<h2>Structure</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in report.structure) + "</ul>",
        _parity(report),
        _experts(report),
        _beside(report),
        _file(report),
        _foot(report),
    )
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{css}</style></head><body><main>",
            *sections,
            "</main></body></html>",
            "",
        )
    )


def _lead(report: Report) -> str:
    parity = report.parity
    return (
        f"<p class=lead>{escape(_what_ran(report))} was run by onnxruntime {escape(report.environment['onnxruntime'])} on a cpu "
        f"and compared with the torch module, case by "
        f"case: {len(parity.compared)} cases, {parity.samples} samples, largest absolute error <b>{report.max_error:.2g}</b>; "
        "every output within what is allowed below, exits equal.</p>"
    )


def _what_ran(report: Report) -> str:
    """The file; of several, how many of them, and what they are."""
    several = len(report.file.get("files", {}))
    kind = "files that write a text" if report.target.decoding == "cache" else "stage models"
    if report.target.precision != "fp32":
        return f"The float32 form of the {several} {kind}" if several else "The float32 form of the file"
    return f"The host loop of {several} {kind}" if several else str(report.file["name"])


def _weights(report: Report) -> str:
    licence = f"Licence of weights and data: {escape(report.licence)}."
    if not report.trained:
        caution = "The file is the model; what the model answers, nobody has measured."
        return f"<p class=warn>Weights: {escape(report.weights)}. {caution} {licence}</p>"
    known = "" if report.accuracy is None else f", validation accuracy {report.accuracy:.3f}"
    return f"<p>Weights: {escape(report.weights)}{known}. {licence}</p>"


def _facts(report: Report) -> str:
    file = report.file
    facts = (
        (f"{report.max_error:.2g}", "largest absolute error"),
        (f"{len(report.parity.compared)}", "cases compared"),
        (f"{file['bytes'] / 1e6:.1f} MB", f"{file['parameters']:,} parameters"),
        (f"{file['opset']}", f"opset, {file['nodes']:,} nodes"),
    )
    return (
        "<div class=cards>"
        + "".join(f"<div class=card><b>{a}</b><span>{escape(b)}</span></div>" for a, b in facts)
        + "</div>"
    )


def _contract(contract: Contract, verify: Verify) -> str:
    def allowed(port: Port) -> str:
        limit = verify.of(port.name, port.dtype)
        return (
            f"<span class=number>{limit.absolute:.2g}</span> or {limit.relative:g} of it"
            if limit.absolute
            else "nothing"
        )

    def row(port: Port) -> Sequence[str]:
        return (
            f"<code>{escape(port.name)}</code>",
            f"{port.dtype}[{escape(', '.join(map(str, port.dims)))}]",
            escape(port.meaning),
        )

    ranges = ", ".join(f"{escape(name)} from {size.low} to {size.high}" for name, size in contract.dims.items())
    return (
        "<h2>Inputs and outputs</h2>"
        + _table(("input", "type", "meaning"), map(row, contract.inputs))
        + _table(("output", "type", "meaning", "off by at most"), ((*row(p), allowed(p)) for p in contract.outputs))
        + f"<p class=note>{ranges}.</p>"
    )


def _parity(report: Report) -> str:
    parity = report.parity
    floats = [port.name for port in report.contract.outputs if port.dtype == "float32"]
    exits = [port.name for port in report.contract.outputs if port.name.endswith(".exit")]

    def row(case: Compared) -> Sequence[str]:
        left = ["; ".join(", ".join(map(str, case.exits[name])) for name in exits)] if exits else []
        errors = [
            f"<span class=number>{case.errors[name]:.1e}</span>" if name in case.errors else "" for name in floats
        ]
        return (
            escape(case.weights),
            *([escape(case.thresholds)] if exits else []),
            escape(case.case),
            *left,
            *errors,
            str(case.close),
        )

    head = (
        "weights",
        *(["thresholds"] if exits else []),
        "case",
        *(["leave at exit 0, 1, ..."] if exits else []),
        *floats,
        "close calls",
    )
    notes = "".join(f"<p class=note>{escape(text)}.</p>" for text in parity.notes)
    close = sum(case.close for case in parity.compared)
    verify = report.target.verify
    calls = (
        f"A close call is a sample whose confidence lies within {verify.margin:g} of a threshold, or one of whose "
        f"tokens has an expert within {verify.lead:g} of the next: two correct runtimes may part there. Of {parity.samples} "
        f"samples {close} were, and {parity.excused} of them went the other way and were not compared; all others were."
    )
    return (
        f"<h2>The file against torch</h2><div class=scroll>{_table(head, map(row, parity.compared))}</div>"
        f"<p class=note>The columns of outputs give the largest absolute error. {calls}</p>{notes}"
    )


def _experts(report: Report) -> str:
    parity = report.parity
    if not parity.experts:
        return ""
    rows = (
        (
            f"<code>{escape(name)}</code>",
            ", ".join(f"{n:,}" for n in counts),
            ", ".join(f"{n:,}" for n in parity.without[name]) + (" (no weights do)" if name in parity.always else ""),
        )
        for name, counts in parity.experts.items()
    )
    titles = ("module", "tokens that each expert met, over all cases", "runs that left it without any")
    return "<h2>Experts</h2>" + _table(titles, rows)


TITLES = {"runtimes": "Another runtime", "precision": "Fewer bits", "tensorrt": "TensorRT", "triton": "Triton"}


def _beside(report: Report) -> str:
    return "".join(
        f"<h2>{TITLES[each.name]}</h2><ul>" + "".join(f"<li>{escape(text)}</li>" for text in each.words) + "</ul>"
        for each in report.beside
    )


def _file(report: Report) -> str:
    file = report.file
    used = ", ".join(f"{escape(name)} {count}" for name, count in file["operators"].items())
    stages = [
        (f"<code>{escape(name)}</code>", f"{each['bytes']:,}", f"<code>{each['sha256']}</code>")
        for name, each in file.get("files", {}).items()
    ]
    if stages:
        told = "the sha256 above is of all in this order."
        run = (
            "The model before a text, its beginning and a step, run by writer.py as writer.json says"
            if report.target.decoding == "cache"
            else "Stage models, none with control flow, run by host.py as stages.json says"
        )
        table = _table(("file", "bytes", "sha256"), stages)
        used = f"{used}. {run}; {told}"
        return (
            f"<h2>The files</h2><p><code>sha256 {file['sha256']}</code></p>{table}<p class=note>Operators: {used}</p>"
        )
    return f"<h2>The file</h2><p><code>sha256 {file['sha256']}</code></p><p class=note>Operators, branches included: {used}.</p>"


def _foot(report: Report) -> str:
    versions = ", ".join(f"{escape(name)} {escape(version)}" for name, version in report.environment.items())
    return f"<footer>{versions}. Spec sha256 {report.spec_sha256}.</footer>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are HTML already."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + f"</tr>{body}</table>"
