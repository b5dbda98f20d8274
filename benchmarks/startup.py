"""How long a command that only reads a spec takes, and how much memory: beside bare Python and `import torch` in the same run.

    python benchmarks/startup.py           every shipped spec
    python benchmarks/startup.py --quick   one

Limits: 0.4 s and 120 MB at the peak, for validate, profile and show. Best of five, with the bytecode that Python keeps from the
first run on: an environment that forbids it (PYTHONDONTWRITEBYTECODE) is not passed on. On a machine that is busy with something
else the wall time says little (it is far above the processor time, which is printed beside it), and processor time decides.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from mmspec import shipped

SECONDS, MEGABYTES = 0.4, 120
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
MMSPEC = "import sys; from mmspec.cli import main; main()"


def cost(*arguments: str, times: int = 5) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and megabytes of a Python process: the best of several runs."""
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        wall, processor = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
        measured.append((wall, processor, usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)))
        if status:
            raise SystemExit(f"{arguments} failed")
    wall, processor, size = (min(values) for values in zip(*measured, strict=True))
    return wall, processor, size


def main() -> None:
    bare, torch = cost("-c", "pass"), cost("-c", "import torch", times=2)
    print(f"{'':42}     wall  processor      MB   of `import torch`")
    print(line("python -c pass", bare))
    print(line("python -c import torch", torch))
    names = shipped.names("specs")[:1] if "--quick" in sys.argv else shipped.names("specs")
    worst = (0.0, 0.0, 0.0)
    for command in ("validate", "profile", "show"):
        for name in names:
            found = cost("-c", MMSPEC, command, name)
            worst = (max(worst[0], found[0]), max(worst[1], found[1]), max(worst[2], found[2]))
            print(f"{line(f'mmspec {command} {name}', found)}   {found[1] / torch[1]:8.1%}")
    print(line("worst", worst))
    busy = worst[0] > 1.5 * worst[1]
    judged = worst[1] if busy else worst[0]
    kept = judged <= SECONDS and worst[2] <= MEGABYTES
    said = "processor time, as the machine is busy" if busy else "wall time"
    print(f"limits {SECONDS} s ({said}), {MEGABYTES} MB: {'met' if kept else 'MISSED'}")
    if not kept:
        raise SystemExit(1)


def line(what: str, found: tuple[float, float, float]) -> str:
    return f"{what:42}  {found[0]:7.3f}    {found[1]:7.3f}  {found[2]:6.0f}"


if __name__ == "__main__":
    main()
