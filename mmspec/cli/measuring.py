"""`mmspec profile --measure` and `--calibrated`: what a model takes on this machine, beside what was predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mmspec.cli.options import say

if TYPE_CHECKING:
    from mmspec.cli.ink import Ink
    from mmspec.cost import Profile
    from mmspec.cost.devices import Device
    from mmspec.cost.roofline import Roofline
    from mmspec.measuring.estimate import Estimate
    from mmspec.measuring.measure import Measurement
    from mmspec.spec import ModelSpec

Function = TypeVar("Function", bound=Callable[..., Any])
OPTIONS = (
    click.option("--measure", is_flag=True, help="build it, run it, and put that beside the prediction"),
    click.option(
        "--runtime", "runtimes", multiple=True, metavar="NAME",
        help="torch (by default), serving, compile, onnx or all; may be repeated",
    ),
    click.option("--on", "place", default="cpu", show_default=True, metavar="cpu|cuda", help="where it is measured"),
    click.option("--threads", default=1, show_default=True, type=click.IntRange(1), help="of what is measured"),
    click.option(
        "--seconds", default=10.0, show_default=True, type=click.FloatRange(0, 3600, min_open=True), help="to measure for"
    ),
    click.option("--calibrated", is_flag=True, help="an estimate from what each of its operations takes on this machine"),
    click.option("--again", is_flag=True, help="with --calibrated: measure its operations anew"),
    click.option(
        "--calibration", metavar="FILE", help="operations that were measured elsewhere, instead of this machine's"
    ),
)  # fmt: skip


def measuring(function: Function) -> Function:
    """The options above, as one argument `measuring` of the command."""

    def called(
        *args: Any, measure: bool, runtimes: tuple[str, ...], place: str, threads: int, seconds: float, calibrated: bool,
        again: bool, calibration: str | None, **kwargs: Any,
    ) -> Any:  # fmt: skip
        estimate = calibrated or again or calibration is not None
        asked = Asked(measure, runtimes, place, threads, seconds, estimate, again, calibration)
        return function(*args, measuring=asked, **kwargs)

    called.__doc__ = function.__doc__
    called.__click_params__ = list(getattr(function, "__click_params__", []))  # type: ignore[attr-defined]
    for option in reversed(OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value]


@dataclass(frozen=True)
class Asked:
    """What was asked to be measured."""

    measure: bool
    runtimes: tuple[str, ...]
    place: str
    threads: int
    seconds: float
    calibrated: bool
    again: bool
    calibration: str | None

    @property
    def options(self) -> dict[str, bool]:
        """Those that ask for something to be measured, and whether they were given."""
        return {"--measure": self.measure, "--calibrated": self.calibrated}

    def answer(self, spec: ModelSpec, price: Profile) -> Answer | None:
        """Measure; None where nothing was asked. Beside it stands the roofline of the device that was named, or else of this
        machine, where it is known.   Raises UserError"""
        if not (self.measure or self.calibrated):
            if self.runtimes:
                raise click.UsageError("--runtime says what is measured; it needs --measure")
            return None
        from mmspec.cli.progress import steps
        from mmspec.measuring.measure import check, measure

        if self.again and self.calibration is not None:
            raise click.UsageError("--again measures here; what --calibration brings was measured elsewhere")
        if self.calibrated and self.place != "cpu":
            raise click.UsageError("--calibrated is an estimate of the processor; leave it out, or --on")
        if self.measure:
            check(spec, price, self.runtimes, self.place)  # before anything takes time
        with steps() as step:
            estimate = self._estimate(price, step) if self.calibrated else None
            roofline = price.on.roofline if price.on is not None else own_roofline(price, self.threads)
            if not self.measure:
                return Answer(None, estimate, roofline)
            least = roofline.whole.least if roofline is not None else None
            found = measure(
                spec, price.graph, price, self.runtimes or ("torch",), self.place, self.threads, self.seconds, least, estimate, step
            )  # fmt: skip
        return Answer(found, estimate, roofline)

    def _estimate(self, price: Profile, step: Callable[[str], None]) -> Estimate:
        from mmspec.cost import Sizes
        from mmspec.cost.budgets import with_costs
        from mmspec.measuring.calibration import calibrate, calibration_here, read_calibration
        from mmspec.measuring.estimate import estimated

        priced, sizes = with_costs(price.graph), Sizes(price.sizes)
        if self.calibration is not None:
            return estimated(priced, sizes, read_calibration(self.calibration))
        known = calibration_here(self.threads)
        step("measure its operations")
        if number := calibrate(priced, sizes, known, self.seconds / 2, self.again):
            known.save()
        return estimated(priced, sizes, known, number)


def own_roofline(price: Profile, threads: int) -> Roofline | None:
    """Of this machine, where `mmspec calibrate-device` has measured it with so many threads."""
    from mmspec.cost import Sizes
    from mmspec.cost.devices import read_device
    from mmspec.cost.roofline import roofline

    if not (path := device_file(threads)).is_file():
        return None
    return roofline(price.ledger, price.graph, Sizes(price.sizes), read_device(str(path)), "fp32")


def warn_of_foreign(device: Device) -> None:
    """On stderr, where a device was measured, and not here."""
    from mmspec.measuring.machine import foreign

    if device.machine is not None and (said := foreign(device.machine)):
        say(f"warning: the device {device.name} was {said}")


def device_file(threads: int) -> Path:
    """Where this machine's own figures are kept."""
    from mmspec.measuring.machine import cache_folder, this_machine

    return cache_folder() / "devices" / f"{this_machine(threads).name}.yaml"


@dataclass(frozen=True)
class Answer:
    measurement: Measurement | None
    estimate: Estimate | None
    roofline: Roofline | None

    def to_dict(self) -> dict[str, Any]:
        """For the profile's JSON; what was not asked for is not in it."""
        found: dict[str, Any] = {}
        if self.measurement is not None:
            found["measured"] = self.measurement.to_dict()
        if self.estimate is not None:
            found["calibrated"] = self.estimate.to_dict()
        return found

    def lines(self, ink: Ink) -> list[str]:
        from mmspec.cli.measured import estimate_lines, measurement_lines

        text: list[str] = []
        if self.measurement is not None:
            text += ["", *measurement_lines(self.measurement, self.estimate, self.roofline, ink)]
        if self.estimate is not None:
            text += ["", *estimate_lines(self.estimate, ink)]
        return text
