"""What every test runs under: one thread per worker, a plot back end without a screen, repeatable random examples."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two workers on two cores; torch reads it when it is first imported
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import HealthCheck, settings

settings.register_profile(
    "mmspec",
    deadline=None,  # a busy machine is not a wrong result
    derandomize=True,  # the same examples on every run: what fails here fails there
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("mmspec")
