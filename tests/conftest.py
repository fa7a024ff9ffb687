"""Shared by all tests: reproducible random examples."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "eezarr", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.load_profile("eezarr")
