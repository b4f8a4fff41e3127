"""Experiment trackers, for those who ask for one (`run.report_to`); nothing is sent anywhere otherwise.

Trainings log to them while they run, through TRL's own `report_to`; what the run measured follows with its report. TensorBoard's
files are in RUN/tracking. W&B, MLflow and Trackio take project, server and keys from their usual environment variables; the
project is "promptcot" where none is named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from promptcot.errors import UserError

FOLDER = "tracking"
PROJECT = "promptcot"
_PROJECTS = {"wandb": "WANDB_PROJECT", "mlflow": "MLFLOW_EXPERIMENT_NAME", "trackio": "TRACKIO_PROJECT"}
_RUN_NAMES = {"wandb": "name", "mlflow": "run_name", "trackio": "name"}  # as each one's start calls it


def check(trackers: Sequence[str]) -> None:
    """Raises:
    UserError: the package of a tracker is not installed.
    """
    for name in trackers:
        if find_spec(name) is None:
            raise UserError(
                f"run.report_to names {name}, and its package is not installed",
                do=f"pip install {name}, or --set run.report_to=[]",
            )


def arguments(out: Path, trackers: Sequence[str]) -> dict[str, Any]:
    """Trainer arguments of the training that writes to `out` (RUN/STAGE/STEP/...): whom to tell, under which name."""
    if not trackers:
        return {"report_to": "none"}
    run, name = out.parents[2], "/".join(out.parts[-3:-1])
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(run / FOLDER / name)
    for key in _PROJECTS.values():
        os.environ.setdefault(key, PROJECT)
    return {
        "report_to": list(trackers),
        "run_name": f"{run.name}/{name}",
        "project": os.environ["TRACKIO_PROJECT"],
    }


def finish(trackers: Sequence[str]) -> None:
    """After a training: W&B's entry would otherwise go on with the next training of this process."""
    if "wandb" in trackers:
        import wandb

        wandb.finish()


def send(report: Mapping[str, Any], run: Path, trackers: Sequence[str]) -> None:
    """What a run measured (`metrics`), as one more entry beside its trainings'."""
    from accelerate import Accelerator
    from accelerate.utils import ProjectConfiguration

    folder = str(run / FOLDER)
    for (
        tracker
    ) in trackers:  # one at a time: accelerate takes one project for all, and each has its own variable
        accelerator = Accelerator(
            cpu=True, log_with=tracker, project_config=ProjectConfiguration(folder, folder)
        )
        project = os.environ.get(_PROJECTS.get(tracker, ""), PROJECT)
        name = {_RUN_NAMES[tracker]: run.name} if tracker in _RUN_NAMES else {}
        accelerator.init_trackers(project, init_kwargs={tracker: name})
        for step, values in sorted(metrics(report).items()):
            accelerator.log(values, step=step)
        accelerator.end_training()


def metrics(report: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """Numbers of a report by step: an EM's iteration, a round of self-play; what has neither is at step 0."""
    found: dict[int, dict[str, float]] = {}

    def put(step: int, prefix: str, values: Mapping[str, Any]) -> None:
        prefix = re.sub(r"[^\w./-]+", "_", prefix)  # what MLflow takes as a name
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
                found.setdefault(step, {})[f"{prefix}/{key}"] = float(value)

    em = report.get("em") or {}
    for name, prefix in (("iterations", "em"), ("without_estep", "em_without_estep"), ("estep", "estep")):
        for entry in em.get(name) or []:
            put(entry["iteration"], prefix, {k: v for k, v in entry.items() if k != "iteration"})
    for entry in report.get("selfplay") or []:
        put(entry["round"], "selfplay", {k: v for k, v in entry.items() if k != "round"})
    for entry in report.get("funnel") or []:
        put(0, f"rows/{entry['stage']}", {k: entry[k] for k in ("rows_in", "rows_out", "rejected")})
    for entry in report.get("labels") or []:
        put(0, f"labels/{entry['domain']}", entry)
    for entry in report.get("evaluation") or []:
        name = "/".join(str(entry[k]) for k in ("regime", "metric", "split", "domain", "level"))
        put(0, f"evaluation/{name}", {k: entry[k]["mean"] for k in ("before", "after", "difference")})
    put(0, "total", report.get("total") or {})
    return found
