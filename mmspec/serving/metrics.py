"""What a server has done, as text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Histogram:
    """How often values were at most each bound."""

    def __init__(self, name: str, told: str, bounds: Sequence[float]) -> None:
        self.name, self.told, self.bounds = name, told, bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.told}"
        yield f"# TYPE {self.name} histogram"
        total = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {self.sum:.9g}"
        yield f"{self.name}_count {total}"


class Metrics:
    """answered: requests by status code; inside: those that are being answered now; tokens: that were written, None where the
    package does not write."""

    def __init__(self) -> None:
        self.answered: Counter[int] = Counter()
        self.inside = 0
        self.tokens: int | None = None
        self.seconds = Histogram("mmspec_request_seconds", "From a request's arrival to its answer.", SECONDS)
        self.sizes = Histogram("mmspec_batch_samples", "Samples that the model was run on together.", SIZES)

    def enter(self) -> Callable[[int], None]:
        """A request came in; what is returned is told its status code when it is answered."""
        self.inside += 1
        start = time.perf_counter()

        def leave(code: int) -> None:
            self.inside -= 1
            self.answered[code] += 1
            self.seconds.add(time.perf_counter() - start)

        return leave

    def text(self) -> str:
        lines = [
            "# HELP mmspec_requests_total Answers by status code.",
            "# TYPE mmspec_requests_total counter",
        ]
        lines += [f'mmspec_requests_total{{code="{code}"}} {count}' for code, count in sorted(self.answered.items())]
        lines += [
            "# HELP mmspec_requests_inside Requests that are being answered.",
            "# TYPE mmspec_requests_inside gauge",
        ]
        lines += [f"mmspec_requests_inside {self.inside}", *self.seconds.lines(), *self.sizes.lines()]
        if self.tokens is not None:
            lines += [
                "# HELP mmspec_written_tokens_total Tokens of texts.",
                "# TYPE mmspec_written_tokens_total counter",
            ]
            lines += [f"mmspec_written_tokens_total {self.tokens}"]
        lines += ["# HELP process_cpu_seconds_total Of all threads.", "# TYPE process_cpu_seconds_total counter"]
        lines += [f"process_cpu_seconds_total {time.process_time():.6f}"]
        return "\n".join(lines) + "\n"
