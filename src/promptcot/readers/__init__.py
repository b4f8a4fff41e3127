"""Readers of seed problems: every offending row becomes a reject with a reason, and none stops the rest."""
