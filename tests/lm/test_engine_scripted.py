"""The scripted engine: same contract, answers from a function."""

from __future__ import annotations

import pytest

from promptcot.errors import UserError
from promptcot.lm.base import ContextOverflow, Engine, Part, Prompt, SamplingParams, SpanScore
from promptcot.lm.scripted import ScriptedEngine


def answer(prompt: str, seed: int) -> str:
    return f"{prompt.upper()}-{seed}#rest"


def per_character(before: str, text: str) -> float:
    return -0.5 * len(text) - 0.25 * len(before)


def test_it_answers_from_the_prompt_and_the_seed() -> None:
    engine = ScriptedEngine(answer)
    one, two, cut = (
        engine.sample([Prompt(seed=3, text="ab")], SamplingParams())
        + engine.sample([Prompt(seed=4, ids=(97, 98))], SamplingParams(stop=("#", "zz")))
        + engine.sample([Prompt(seed=3, text="ab")], SamplingParams(max_tokens=4))
    )
    assert (one.text, one.finish, one.prompt_tokens, one.logq) == ("AB-3#rest", "stop", 2, None)
    assert (two.text, engine.decode(two.ids)) == ("AB-4", "AB-4")
    assert (cut.text, cut.finish) == ("AB-3", "length")
    assert engine.usage() == {"prompt_tokens": 6, "sampled_tokens": 17, "scored_tokens": 0}


def test_greedy_answers_do_not_depend_on_the_seed() -> None:
    prompts = [Prompt(seed=s, text="ab") for s in (1, 2)]
    one, two = ScriptedEngine(answer).sample(prompts, SamplingParams(temperature=0))
    assert one == two


def test_messages_are_rendered_with_the_assistant_next() -> None:
    (sample,) = ScriptedEngine(lambda text, seed: text).sample(
        [Prompt(seed=0, messages=(("system", "s"), ("user", "u")))], SamplingParams()
    )
    assert sample.text == "system: s\n\nuser: u\n\nassistant: "


def test_it_scores_only_with_a_score_function() -> None:
    parts = [Part("c", (97, 98), scored=False), Part("z", (99,)), Part("x", ())]
    mute = ScriptedEngine(answer)
    assert not mute.can_score
    with pytest.raises(UserError, match="no score function"):
        mute.score([parts])
    engine = ScriptedEngine(answer, score=per_character)
    assert engine.can_score
    assert engine.score([parts]) == [{"z": SpanScore(-1.0, 1), "x": SpanScore(0.0, 0)}]
    assert engine.sample([Prompt(seed=3, text="ab")], SamplingParams(max_tokens=4))[0].logq == -2.5


def test_it_has_a_context_and_an_end() -> None:
    engine = ScriptedEngine(answer, max_context=4)
    assert engine.sample([Prompt(seed=3, text="ab")], SamplingParams())[0].text == "AB"
    with pytest.raises(ContextOverflow, match="4 characters"):
        engine.sample([Prompt(seed=3, text="abcd")], SamplingParams())


def test_ids_round_trip_any_text() -> None:
    engine = ScriptedEngine(answer)
    assert engine.decode(engine.encode("a é ✓ 😀\n")) == "a é ✓ 😀\n"
    assert isinstance(engine, Engine)
