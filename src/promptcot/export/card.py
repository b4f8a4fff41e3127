"""Dataset and model cards: YAML that the Hub and `datasets` read, then what a person has to know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from promptcot import __version__
from promptcot.export.origin import Origin
from promptcot.export.target import Target

ABOUT = {
    "problems": "problems with what an attempt is judged by: an answer, or unit tests",
    "pairs": "preference pairs: a right and a wrong attempt at the same problem",
    "traces": "a teacher's solutions",
    "triples": "concepts, rationale, problem (c, z, x), the held-out ones left out",
}
SIMULATED = (
    "> **Simulated world.** Seeds, annotators or models are promptcot's pocket ones: procedural problems and a model of "
    "about a million parameters. This is for trying the method; no number on it says anything about real models."
)
METHOD = "promptcot, an implementation of PromptCoT 2.0 (arXiv 2509.19894)"
SIZES = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
)


def dataset_card(
    target: Target, origin: Origin, files: Mapping[str, str], rows: Mapping[str, int], cut: Mapping[str, int]
) -> str:
    """The README.md of a dataset folder; `configs` lets `datasets.load_dataset(folder, table)` find the files.

    cut: how many rows of a table were left out because a turn in them was cut off.
    """
    head: dict[str, Any] = {
        **_license(origin), "pretty_name": f"{origin.recipe.name} ({target.name})",
        "task_categories": ["text-generation"], "tags": _tags(origin), "size_categories": [_size(sum(rows.values()))],
        "configs": [
            {"config_name": t, "data_files": [{"split": "train", "path": f}]} for t, f in files.items()
        ],
    }  # fmt: skip
    lines = [
        f"# {origin.recipe.name}: {', '.join(files)}", "", *_warning(origin),
        f"Made with {METHOD}, in the shape of [{target.name}]({target.source}).", "",
        "| table | rows | file | what |", "|---|---|---|---|",
        *(f"| {t} | {rows[t]:,} | `{f}` | {ABOUT[t]} |" for t, f in files.items()), "",
        *(line for t, n in cut.items() for line in (left_out(t, n), "")),
    ]  # fmt: skip
    if target.use:
        lines += ["## Use", "", target.use.replace("{name}", origin.name), ""]
    return _front(head) + "\n".join(lines + _provenance(origin))


def left_out(table: str, rows: int) -> str:
    """What is said of rows with a turn that was cut off, in a shape that cannot say so."""
    return f"Left out of {table}: {rows:,} with a turn cut off at the token limit (a trainer would put an end behind it)."


def model_card(role: str, about: str, base: str, origin: Origin, datasets: str) -> str:
    """The README.md of a model folder. base: the model it was trained from; datasets: what it was trained on."""
    head: dict[str, Any] = {
        **_license(origin), "library_name": "transformers", "pipeline_tag": "text-generation", "tags": _tags(origin)
    }  # fmt: skip
    if "/" in base:  # a name on the Hub; local folders come as their last part
        head["base_model"] = base
    lines = [
        f"# {origin.recipe.name}: {role}", "", *_warning(origin), f"{about} Made with {METHOD}.", "",
        f"Trained from `{base}` on {datasets}.", "",
    ]  # fmt: skip
    return _front(head) + "\n".join(lines + _provenance(origin))


def _front(head: dict[str, Any]) -> str:
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n\n"


def _license(origin: Origin) -> dict[str, str]:
    return {"license": origin.license} if origin.license else {}


def _tags(origin: Origin) -> list[str]:
    return ["promptcot", "synthetic", *(["simulated"] if origin.simulated else [])]


def _size(n: int) -> str:
    return next((name for bound, name in SIZES if n < bound), "10M<n<100M")


def _warning(origin: Origin) -> list[str]:
    return [SIMULATED, ""] if origin.simulated else []


def _provenance(origin: Origin) -> list[str]:
    """Licence, seed, digests, versions and the whole recipe."""
    facts = origin.facts()
    licence = (
        f"Licence: {origin.license}, as stated by whoever exported this."
        if origin.license
        else "Licence: none was stated. Ask before you use this; seeds and models have licences of their own."
    )
    lines = [
        "## Provenance", "", licence, "",
        f"Run seed {facts['seed']}; exported by promptcot {__version__}. Equal digests mean equal rows "
        "(`promptcot show RUN --digest`).", "",
        "| step | rows | digest | made by |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, step in origin.steps.items():
        packages = ", ".join(f"{k} {v}" for k, v in step.get("packages", {}).items())
        commit = step.get("code", {}).get("commit", "")[:12]
        made = (
            f"promptcot {step.get('promptcot', '?')} {commit}; Python {step.get('python', '?')}; {packages}"
        )
        lines.append(f"| {name} | {step['rows'] or '-'} | `{step['digest']}` | {made} |")
    recipe = yaml.safe_dump(json.loads(json.dumps(facts["recipe"])), sort_keys=False, allow_unicode=True)
    lines += [
        "",
        "<details><summary>Recipe</summary>",
        "",
        "```yaml",
        recipe.rstrip(),
        "```",
        "",
        "</details>",
        "",
    ]
    return lines
