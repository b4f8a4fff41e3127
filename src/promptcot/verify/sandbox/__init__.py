"""Running untrusted programs: `run_program` in a back end that `choose` found fit."""

from promptcot.verify.sandbox.backends import Backend, Choice, Probe, choose, probe
from promptcot.verify.sandbox.run import TESTS_PER_JOB, Limits, Run, Status, run_program

__all__ = [
    "TESTS_PER_JOB",
    "Backend",
    "Choice",
    "Limits",
    "Probe",
    "Run",
    "Status",
    "choose",
    "probe",
    "run_program",
]
