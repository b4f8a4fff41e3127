"""From a name in a recipe to an engine. Heavy packages are imported only by the engine that needs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from promptcot.errors import MissingExtra, UserError
from promptcot.lm.base import Engine, EngineSpec
from promptcot.lm.scripted import ScriptedEngine


def load_engine(spec: EngineSpec) -> Engine:
    """The engine that `spec` names, ready to use.

    Raises:
        UserError: unknown engine, or its model cannot be loaded.
        MissingExtra: the engine needs a package that is not installed.
    """
    if spec.engine not in LOADERS:
        raise UserError(f"engine {spec.engine!r}", expected="one of " + ", ".join(LOADERS))
    return LOADERS[spec.engine](spec)


def _transformers(spec: EngineSpec) -> Engine:
    try:
        from promptcot.lm.transformers import TransformersEngine
    except ModuleNotFoundError as error:
        if error.name in ("torch", "transformers"):
            raise MissingExtra(error.name, "train") from error
        raise
    return TransformersEngine(model_path(spec.model), spec.dtype, spec.device, spec.batch_tokens)


def model_path(model: str) -> str:
    if not model:
        raise UserError(
            "the engine has no model",
            expected="a directory, a name on the Hugging Face Hub, or 'pocket' for the model in this package",
        )
    if model != "pocket":
        return model
    from promptcot.pocket import MODEL_DIR

    return str(MODEL_DIR)


def _scripted(spec: EngineSpec) -> Engine:
    """`model` names a function (prompt text, seed) -> text as `module:function`; empty repeats the prompt."""
    return ScriptedEngine(
        _respond(spec.model) if spec.model else _echo, name=f"scripted:{spec.model or 'echo'}"
    )


def _respond(name: str) -> Any:
    try:
        return resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"scripted model {name!r}: {error}",
            expected="a function (prompt text, seed) -> text, as 'module:function'",
        ) from error


def _echo(prompt: str, seed: int) -> str:
    return prompt


def _annotator(spec: EngineSpec) -> Engine:
    from promptcot.pocket.engines import annotator_engine

    return annotator_engine(name=spec.model)


def _teacher(spec: EngineSpec) -> Engine:
    from promptcot.pocket.engines import teacher_engine

    return teacher_engine()


def _openai(spec: EngineSpec) -> Engine:
    from promptcot.lm.openai import OpenAIEngine

    assert spec.server is not None, "the recipe's check lets no openai engine through without a server"
    own = model_path(spec.model)  # a directory here holds its tokenizer; the name on a server need not
    tokenizer = spec.tokenizer or (own if Path(own).is_dir() else "")
    return OpenAIEngine(spec.server, spec.model, tokenizer and model_path(tokenizer), spec.dtype)


def _vllm(spec: EngineSpec) -> Engine:
    from promptcot.lm.vllm import VLLMEngine

    assert spec.vllm is not None, "Model.spec gives every vllm engine its settings"
    tokenizer = spec.tokenizer and model_path(spec.tokenizer)
    return VLLMEngine(model_path(spec.model), tokenizer, spec.dtype, spec.vllm)


LOADERS: dict[str, Callable[[EngineSpec], Engine]] = {
    "transformers": _transformers,
    "scripted": _scripted,
    "pocket-annotator": _annotator,
    "pocket-teacher": _teacher,
    "openai": _openai,
    "vllm": _vllm,
}
