"""Exports: a run's tables in the shapes of trainers and of the Hub, one small writer each."""
