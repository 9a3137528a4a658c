"""What goes on record of answers that are decoded together, in a real ledger."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from jessy_build.engine.ledger import Ledger
from jessy_build.runtimes.answer import Answer
from jessy_build.steps import recorded
from jessy_build.steps.recorded import TOGETHER

WHO = recorded.model("mlx", {"model.safetensors": "a" * 64})
TEXTS = [f"question {number}" for number in range(2 * TOGETHER + 3)]


class Model:
    """Answers the last prompt first, and counts who was asked with whom."""

    def __init__(self) -> None:
        self.groups: list[tuple[str, ...]] = []

    def __call__(self, texts: Sequence[str], max_tokens: int) -> Iterable[tuple[int, Answer]]:
        self.groups.append(tuple(texts))
        for place in reversed(range(len(texts))):
            yield place, Answer(f"to {texts[place]}", max_tokens, 0.5, 0.1, place % 2 == 0)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def said(ledger: Ledger, texts: Sequence[str], model: Model, told: recorded.Told) -> list[str]:
    return [one.text for one in recorded.replies(ledger.answers, WHO, texts, 7, model, told)]


def test_each_text_is_asked_once_in_groups_and_each_answer_stands_at_its_place(
    ledger: Ledger,
) -> None:
    model, counts = Model(), list[int]()
    twice = [*TEXTS, *TEXTS[:3]]
    assert said(ledger, twice, model, counts.append) == [f"to {text}" for text in twice]
    assert [len(group) for group in model.groups] == [TOGETHER, TOGETHER, 3]
    assert [text for group in model.groups for text in group] == TEXTS
    assert counts == sorted(counts) and counts[-1] == len(twice)
    assert said(ledger, twice, model, counts.append) == [f"to {text}" for text in twice]
    assert len(model.groups) == 3, "none was asked again"


def test_a_text_more_is_asked_alone_and_another_limit_asks_all(ledger: Ledger) -> None:
    model = Model()
    said(ledger, TEXTS[:4], model, lambda _: None)
    said(ledger, TEXTS[:5], model, lambda _: None)
    assert model.groups[1:] == [(TEXTS[4],)]
    replies = recorded.replies(ledger.answers, WHO, TEXTS[:2], 8, model, lambda _: None)
    assert model.groups[2:] == [tuple(TEXTS[:2])]
    assert [(one.stop, one.usage.output_tokens) for one in replies] == [("end", 8), ("length", 8)]


@pytest.mark.parametrize("answers", range(2 * TOGETHER))
def test_whoever_is_stopped_goes_on_in_the_same_groups(ledger: Ledger, answers: int) -> None:
    model = Model()

    def stopped(count: int) -> None:
        if count > answers:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        said(ledger, TEXTS, model, stopped)
    before = answers // TOGETHER
    assert len(model.groups) == before + 1
    assert said(ledger, TEXTS, model, lambda _: None) == [f"to {text}" for text in TEXTS]
    whole = Model()
    with_nothing_known = recorded.model("mlx", {"model.safetensors": "b" * 64})
    recorded.replies(ledger.answers, with_nothing_known, TEXTS, 7, whole, lambda _: None)
    assert model.groups[:before] + model.groups[before + 1 :] == whole.groups
