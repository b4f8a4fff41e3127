"""The corpus, the tokenizer and the model that ships."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.pocket import MODEL_DIR
from promptcot.pocket.annotators import annotate
from promptcot.pocket.corpus import KINDS, documents
from promptcot.pocket.pretrain import WARMUP, learning_rate
from promptcot.pocket.tokenizer import SPECIAL_TOKENS, train_tokenizer
from promptcot.pocket.world import items, parse, split_of

DOCUMENTS = list(itertools.islice(documents(3), 600))


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return pytest.importorskip("transformers").AutoTokenizer.from_pretrained(MODEL_DIR)


def test_the_corpus_holds_train_problems_only() -> None:
    users = [u for d in DOCUMENTS for u in re.findall(r"<\|user\|>(.*?)<\|assistant\|>", d.text, re.S)]
    problems = [u.split("\nWrite one test")[0] for u in users]
    problems += [
        d.text.removeprefix("<|problem|>").removesuffix("<|end|>") for d in DOCUMENTS if d.kind == "problem"
    ]
    assert len(problems) > 400
    for text in problems:
        spec = parse(text)
        assert spec is not None
        assert split_of(spec) == "train"


def test_the_corpus_never_shows_a_rationale() -> None:
    corpus = "\n".join(d.text for d in DOCUMENTS)
    assert not any(mark in corpus for mark in ("<|concepts|>", "<|rationale|>", "<|level|>"))
    for item in items(60, 3, "train"):
        plan = annotate("precise", item.text, 0)
        assert plan is not None
        assert plan.rationale not in corpus


def test_every_kind_of_document_occurs_and_the_seed_decides() -> None:
    assert {d.kind for d in DOCUMENTS} == set(KINDS)
    assert list(itertools.islice(documents(3), 20)) == DOCUMENTS[:20]
    assert list(itertools.islice(documents(4), 20)) != DOCUMENTS[:20]


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=200)
def test_any_text_is_encoded_and_decoded_exactly(text: str) -> None:
    loaded = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(MODEL_DIR)
    assert loaded.decode(loaded.encode(text)) == text


def test_digits_are_single_tokens_and_specials_have_the_first_ids(tokenizer: Any) -> None:
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("2048")) == ["2", "0", "4", "8"]
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == list(range(8))
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|pad|>", "<|end|>")


def test_the_chat_template_renders_as_the_corpus_does(tokenizer: Any) -> None:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Yes."}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == "<|user|>Hi.<|assistant|>Yes.<|end|>"
    asked = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert asked == "<|user|>Hi.<|assistant|>"


def test_training_a_tokenizer_twice_gives_the_same_one() -> None:
    pytest.importorskip("transformers")
    texts = [d.text for d in DOCUMENTS[:100]]
    one, other = train_tokenizer(texts), train_tokenizer(texts)
    assert one.get_vocab() == other.get_vocab()


def test_the_shipped_weights_are_small_and_fit_the_tokenizer(tokenizer: Any) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert model.config.vocab_size == len(tokenizer)
    assert 1_000_000 < sum(p.numel() for p in model.parameters()) < 2_000_000
    assert sum(f.stat().st_size for f in MODEL_DIR.glob("*.safetensors")) <= 12_000_000


def test_the_learning_rate_warms_up_and_ends_at_a_tenth() -> None:
    assert learning_rate(0.0, 1.0) == 0.0
    assert learning_rate(WARMUP, 1.0) == pytest.approx(1.0)
    assert learning_rate(1.0, 1.0) == pytest.approx(0.1)
