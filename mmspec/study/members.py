"""What a finished search leaves in its folder.

runs/digits_pareto/
  study.yaml, study.db     the study and everything that was tried
  trials/003-5f0c1b7a/     every trained network
  front/0/ ... front/5/    the front, cheapest first: built folders, as `mmspec build` and `mmspec export` take them
  knee                     -> front/3
  front.png, front.svg, report.html   for people
  front.csv, front.json    for programs
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from mmspec.errors import Failure
from mmspec.files import replace_folder, write_atomically
from mmspec.study import page, plot, tables
from mmspec.study.candidate import LATENCY
from mmspec.study.evaluation import DONE
from mmspec.study.result import Front, Trained

if TYPE_CHECKING:
    from mmspec.spec import ModelSpec
    from mmspec.study.plan import Plan

PLOT, VECTOR, REPORT, CSV, JSON = "front.png", "front.svg", "report.html", "front.csv", "front.json"
_LEFT_OUT = shutil.ignore_patterns("checkpoint*", DONE)


def write(front: Front, plan: Plan, load: Callable[[Path], ModelSpec]) -> Front:
    """Save the members, the plot, the report and the tables; the front comes back with their paths.

    Raises   Failure: a saved spec does not have the price that the search knew, so that something of ours is wrong
    """
    with replace_folder(front.folder / "front") as home:
        for i, member in enumerate(front.members):
            shutil.copytree(member.folder, home / str(i), ignore=_LEFT_OUT)
            _same_price(home / str(i), member, plan, load)
    _point(front.folder / "knee", Path("front") / str(front.knee), front.folder)
    _forget_litter(front)
    background = page.Background(plan.study.text, plan.space.defaults(), _environment(plan), plan.study.limits)
    files = (
        write_atomically(front.folder / PLOT, lambda path: plot.draw_front(front, path)),
        write_atomically(front.folder / VECTOR, lambda path: plot.draw_front(front, path, "svg")),
        write_atomically(front.folder / REPORT, page.render(front, background)),
        write_atomically(front.folder / CSV, tables.as_csv(front)),
        write_atomically(front.folder / JSON, tables.as_json(front)),
    )
    return replace(front, files=files)


def _same_price(folder: Path, member: Trained, plan: Plan, load: Callable[[Path], ModelSpec]) -> None:
    found: Mapping[str, float] = plan.pricer.price(load(folder / "spec.yaml"))
    priced = {name: figure for name, figure in member.figures.items() if name != LATENCY}  # which was measured
    wrong = [name for name, figure in priced.items() if found.get(name) != figure]
    if wrong:
        raise Failure(
            f"{member.folder / 'spec.yaml'} has {wrong[0]} = {found.get(wrong[0])}, but {member.figures[wrong[0]]} was searched; "
            "this is a defect of mmspec: please report it with the study file"
        )


def _point(link: Path, target: Path, folder: Path) -> None:
    """`knee` leads to a member; a copy where the system has no links."""
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        os.symlink(target, beside, target_is_directory=True)
        os.replace(beside, link)
    except OSError:
        beside.unlink(missing_ok=True)
        with replace_folder(link) as copy:
            shutil.copytree(folder / target, copy, dirs_exist_ok=True)


def _forget_litter(front: Front) -> None:
    """Folders of trainings that were interrupted and never gone on with."""
    kept = {t.folder.name for t in front.trained}
    for folder in (front.folder / "trials").iterdir():
        if folder.is_dir() and folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _environment(plan: Plan) -> dict[str, str]:
    found = {"Python": platform.python_version(), "machine": f"{platform.machine()}, {os.cpu_count()} CPUs"}
    for package in ("mmspec", "torch", "optuna"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return {**found, "sampler": plan.study.sampler, "seed": str(plan.study.seed)}
