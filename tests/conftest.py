"""What holds for the whole suite; nothing in it is about time: a busy machine must not fail a property."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.tidy", "tests.fast"]

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
