"""The front as a picture for a file: what was bought with what, who is worth having, and what is luck."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mmspec.study import wording
from mmspec.study.result import Front

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, GRID = "#1c2430", "#6b7482", "#e6e9ee"
FRONT, KNEE, OTHER, BOUND = "#2563a8", "#d9541e", "#b4bac4", "#8a4b9c"
_WIDE = 6.0  # a cost axis that spans more than this factor is drawn in logarithms


def draw_front(front: Front, path: Path, form: Literal["png", "svg"] = "png") -> None:
    """Write a PNG or an SVG. Grey: dominated. Blue: the front, numbered as its folders. Orange: the knee.

    Bars: one standard error.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = len(front.members)
    figure = Figure(figsize=(10.4, 5.6), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes, key = figure.subplots(1, 2, width_ratios=(2.15, 1))
    x, y = front.horizontal, front.vertical
    _frame(axes, front)
    _points(axes, front)
    _bounds(axes, front)
    axes.set_xlabel(wording.axis(x.name), color=MUTED)
    axes.set_ylabel(
        f"{wording.axis(y.name)} (validation)" if y.name == "accuracy" else wording.axis(y.name), color=MUTED
    )
    axes.set_title(
        f"{front.name}: {len(front.trained)} networks trained, {rows} on the front",
        loc="left",
        color=INK,
        fontsize=12,
        fontweight="bold",
        pad=12,
    )
    _key(key, front)
    metadata = {"Software": "mmspec"} if form == "png" else {"Creator": "mmspec", "Date": None}
    with rc_context({"svg.hashsalt": front.name}):  # equal fronts make equal files
        figure.savefig(path, format=form, metadata=metadata)


def logarithmic(front: Front) -> bool:
    values = [t.values[front.horizontal.name] for t in front.trained]
    return min(values) > 0 and max(values) / min(values) > _WIDE


def _frame(axes: Axes, front: Front) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    name = front.horizontal.name
    if logarithmic(front):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))  # "40.5 MFLOPs" is wide
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda v, _: wording.amount(name, v).replace(".00 ", " ").replace(".0 ", " "))
    )
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.tick_params(colors=MUTED, labelsize=9, length=0, which="both")
    axes.margins(x=0.06, y=0.08)


def _points(axes: Axes, front: Front) -> None:
    x, y = front.horizontal.name, front.vertical.name
    members, knee = front.members, front.knee
    axes.scatter(
        [t.values[x] for t in front.dominated],
        [t.values[y] for t in front.dominated],
        s=34,
        color=OTHER,
        linewidths=0,
        zorder=2,
    )
    across, up = [t.values[x] for t in members], [t.values[y] for t in members]
    if len(front.objectives) == 2:  # with three the front is a surface, and stairs between its points would lie
        axes.step(across, up, where="post", color=FRONT, linewidth=1.6, alpha=0.55, zorder=3)
    for i, member in enumerate(members):
        colour = KNEE if i == knee else FRONT
        if y == "accuracy" and member.error is not None:
            axes.errorbar(
                across[i],
                up[i],
                yerr=member.error,
                color=colour,
                alpha=0.5,
                linewidth=1.4,
                capsize=3.5,
                capthick=1.4,
                zorder=3,
            )
        axes.scatter(
            across[i], up[i], s=190 if i == knee else 140, color=colour, edgecolors="white", linewidths=1.2, zorder=4
        )
        axes.annotate(
            str(i),
            (across[i], up[i]),
            ha="center",
            va="center_baseline",
            color="white",
            fontsize=7.5,
            fontweight="bold",
            zorder=5,
        )


def _bounds(axes: Axes, front: Front) -> None:
    """The best that one modality alone can reach, as lines: below them nothing has been learned about the other one."""
    if front.vertical.name != "accuracy" or not front.members:
        return
    for name, bound in front.members[0].bounds.items():
        axes.axhline(bound, color=BOUND, linewidth=1.1, linestyle=(0, (5, 4)), zorder=1)
        axes.annotate(
            f"best from {name}  {bound:.3f}",
            (1, bound),
            xycoords=("axes fraction", "data"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="right",
            color=BOUND,
            fontsize=8.5,
        )


def _key(axes: Any, front: Front) -> None:
    """Beside the picture: what each number is. The order is the plot's, dearest on top."""
    axes.axis("off")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    members = list(enumerate(front.members))[::-1]
    step = min(0.115, 0.94 / max(len(members), 1))
    for row, (i, member) in enumerate(members):
        top, colour = 0.98 - row * step, KNEE if i == front.knee else FRONT
        axes.scatter(0.03, top - 0.016, s=130, color=colour, linewidths=0, clip_on=False)
        axes.annotate(
            str(i),
            (0.03, top - 0.016),
            ha="center",
            va="center_baseline",
            color="white",
            fontsize=7.5,
            fontweight="bold",
        )
        price = "   ".join(wording.amount(o.name, member.values[o.name]) for o in front.objectives)
        axes.text(
            0.10,
            top,
            price + ("   knee" if i == front.knee else ""),
            va="top",
            color=colour,
            fontsize=9.5,
            fontweight="bold",
        )
        if step > 0.06:
            axes.text(
                0.10,
                top - 0.045,
                _wrapped(wording.label(member.params, front.varied)),
                va="top",
                color=MUTED,
                fontsize=8,
                linespacing=1.15,
            )


def _wrapped(text: str, width: int = 44) -> str:
    import textwrap

    lines = textwrap.wrap(text, width)
    return "\n".join(lines if len(lines) <= 2 else [lines[0], lines[1][: width - 4] + " ..."])
