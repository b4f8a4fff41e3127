"""Text and token ids: special tokens, chat templates, and stop strings that span tokens."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from promptcot.errors import UserError
from promptcot.lm.base import Prompt, SamplingParams
from promptcot.lm.stopping import Stops, make_stops
from promptcot.lm.transformers import TransformersEngine

PLAIN = SamplingParams(max_tokens=30)


def stops_for(engine: TransformersEngine, *stop: str) -> Stops:
    pieces = [engine.decode([i]) for i in range(len(engine.tokenizer))]
    return make_stops(stop, frozenset(), engine.tokenizer.get_added_vocab(), pieces, engine.decode)


def first_cut(engine: TransformersEngine, stops: Stops, text: str) -> tuple[int, str] | None:
    """Feeds the tokens of `text` one by one; the first cut."""
    ids = engine.encode(text)
    cuts = (stops.cut(ids[: i + 1]) for i in range(len(ids)))
    return next((cut for cut in cuts if cut is not None), None)


@pytest.mark.parametrize("text", ["plain", "<|user|>abc é ✓<|end|> x", "", " the\n\n\ttab"])
def test_text_survives_the_round_trip_through_ids(engine: TransformersEngine, text: str) -> None:
    assert engine.decode(engine.encode(text)) == text


def test_special_tokens_in_text_are_single_ids_and_none_are_added(engine: TransformersEngine) -> None:
    assert engine.encode("<|end|>") == (engine.tokenizer.eos_token_id,)
    assert engine.end_ids == engine.encode("<|end|>")
    assert len(engine.encode("<|user|>q<|end|>")) == 3
    assert len(engine.encode("q")) == 1


def test_chat_ids_follow_the_template_and_open_the_assistant_turn(engine: TransformersEngine) -> None:
    assert engine.decode(engine.chat_ids([("user", "abc")])) == "<|user|>user:abc<|end|><|user|>assistant:"


def test_a_tokenizer_without_a_chat_template_says_what_to_do(model: Any, tokenizer: Any) -> None:
    bare = copy.copy(tokenizer)
    bare.chat_template = None
    engine = TransformersEngine.from_model(model, bare, name="bare")
    with pytest.raises(UserError, match=r"bare has no chat template[\s\S]*chat_template\.jinja"):
        engine.sample([Prompt(seed=0, messages=(("user", "a"),))], PLAIN)


@pytest.mark.parametrize(
    ("stop", "text", "kept", "before"),
    [
        ("END", "12 END 3", 3, "12 "),  # three tokens
        ("c", "abcabc", 0, "ab"),  # ends inside nothing, begins inside the token "abc"
        ("bcq", "xyabcq", 1, "xya"),  # begins inside "abc"
        ("é", "xyéz", 1, "xy"),  # one character, two tokens
        ("\n\n", "a\n\nb", 1, "a"),
        ("t ", "q t q", 1, "q "),  # ends in a space; " t" is one token
        ("xy", "xy", 0, ""),
    ],
)
def test_a_stop_text_cuts_before_itself_and_keeps_whole_tokens(
    engine: TransformersEngine, stop: str, text: str, kept: int, before: str
) -> None:
    assert first_cut(engine, stops_for(engine, stop), text) == (kept, before)


def test_the_earliest_of_several_stops_wins(engine: TransformersEngine) -> None:
    # "abc" is one token, which completes both stops at once; "b" stands first.
    assert first_cut(engine, stops_for(engine, "c", "b"), "qabc") == (1, "qa")


def test_a_stop_that_ends_in_a_space_is_seen_where_tokens_lose_theirs_alone() -> None:
    # SentencePiece: a token that begins with a space decodes without it when it stands first.
    words = [" one", " two"]

    def decode(ids: Sequence[int]) -> str:
        return "".join(words[i] for i in ids).removeprefix(" ")

    stops = make_stops(("one ",), frozenset(), {}, [decode([i]) for i in range(2)], decode)
    assert stops.cut([1, 0]) is None
    assert stops.cut([1, 0, 1]) == (1, "two ")


def test_half_a_stop_text_is_no_stop(engine: TransformersEngine) -> None:
    assert first_cut(engine, stops_for(engine, "END"), "EN DEN") is None


def test_a_special_token_as_stop_is_matched_by_id_not_by_letters(engine: TransformersEngine) -> None:
    stops = stops_for(engine, "<|user|>")
    assert (stops.ids, stops.texts) == (frozenset(engine.encode("<|user|>")), ())


@pytest.mark.parametrize("stop", ["<|user|>", "a", "abc"])
def test_samples_are_the_unstopped_draws_cut_at_the_stop(engine: TransformersEngine, stop: str) -> None:
    prompts = [Prompt(seed=s, ids=engine.encode("the cat")) for s in range(300)]
    free = engine.sample(prompts, PLAIN)
    stopped = engine.sample(prompts, replace(PLAIN, stop=(stop,)))
    hits = 0
    for before, after in zip(free, stopped):
        cut = before.text.find(stop)
        hits += cut >= 0
        assert after.text == (before.text if cut < 0 else before.text[:cut])
        assert after.ids == before.ids[: len(after.ids)]
        assert after.finish == ("stop" if cut >= 0 else before.finish)
        assert after.text.startswith(engine.decode(after.ids))
    assert 3 < hits < len(prompts)


def test_messages_to_a_model_whose_turns_nothing_ends_are_refused(model: Any, tokenizer: Any) -> None:
    """Every answer would run into the limit; a text to go on with may."""
    mute, bare = copy.deepcopy(model), copy.deepcopy(tokenizer)
    bare.eos_token = mute.config.eos_token_id = mute.generation_config.eos_token_id = None
    engine = TransformersEngine.from_model(mute, bare, name="mute")
    turn = Prompt(1, messages=(("user", "abc"),))
    with pytest.raises(UserError, match=r"nothing ends a turn of mute[\s\S]*eos_token"):
        engine.sample([turn], SamplingParams(max_tokens=3))
    (sample,) = engine.sample([Prompt(1, text="abc")], SamplingParams(max_tokens=3))
    assert sample.finish == "length"
    assert engine.sample([turn], SamplingParams(max_tokens=3, stop=("a",)))
