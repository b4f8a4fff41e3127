"""The embedded default: a procedural world of problems, its simulated annotators and teacher, a small pretrained LM.

Everything in here is a stand-in for real seeds, annotators and models, so that the whole method runs where nothing
can be downloaded. The world is simulated and the model tiny; nothing measured on it carries over to real models.
"""

from __future__ import annotations

from pathlib import Path

MODEL_DIR = Path(__file__).parent / "model"
_INSTALLED = Path(__file__).parents[1] / "recipes" / "pocket.yaml"  # in a wheel
RECIPE = _INSTALLED if _INSTALLED.exists() else Path(__file__).parents[3] / "recipes" / "pocket.yaml"
