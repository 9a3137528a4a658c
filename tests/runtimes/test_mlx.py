"""Real answers of the tiny model through MLX."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("mlx_lm")

from jessy_build.chat import Chat
from jessy_build.diagnostics import StepError
from jessy_build.runtimes import mlx
from jessy_build.runtimes.answer import Answer
from tests.packaging.random_models import CONFIGS, make_random_model
from tests.taught import ANSWER


def test_an_adapter_answers_what_it_learned_and_stops_at_the_end_of_its_turn(
    tiny_model: Path, taught: Path, asked: str
) -> None:
    with mlx.open(tiny_model, taught) as model:
        answer = model.ask(asked, 60)
    assert (answer.text, answer.stopped) == (ANSWER, True)
    assert 5 < answer.tokens < 60
    assert 0 < answer.first_token_seconds <= answer.seconds


def test_the_base_alone_answers_otherwise(tiny_model: Path, asked: str) -> None:
    with mlx.open(tiny_model) as model:
        assert model.ask(asked, 20).text != ANSWER


def test_an_answer_that_is_cut_says_so(tiny_model: Path, taught: Path, asked: str) -> None:
    with mlx.open(tiny_model, taught) as model:
        answer = model.ask(asked, 3)
    assert (answer.tokens, answer.stopped) == (3, False)
    assert ANSWER.startswith(answer.text)


def test_a_stream_gives_the_same_text_in_whole_letters(
    tiny_model: Path, taught: Path, asked: str
) -> None:
    with mlx.open(tiny_model, taught) as model:
        pieces = list(model.stream(asked, 60))
    assert len(pieces) > 3
    assert "".join(pieces) == ANSWER
    assert not any(mlx.UNFINISHED in piece for piece in pieces)


def test_every_end_token_of_the_folder_ends_an_answer(
    tiny_model: Path, taught: Path, asked: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    with mlx.open(tiny_model, taught) as model:
        first = model.tokenizer.encode(model.ask(asked, 1).text).ids[0]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, first]}))
    with mlx.open(folder, taught) as model:
        answer = model.ask(asked, 60)
    assert (answer.text, answer.tokens, answer.stopped) == ("", 0, True)


def test_an_adapter_asked_several_answers_each_and_tells_which_was_cut(
    tiny_model: Path, taught: Path, asked: str
) -> None:
    with mlx.open(tiny_model, taught) as model:
        whole = dict(model.ask_together(["hey", asked, asked], 60))
        tokens = whole[1].tokens
        # The token that ends it is one more.
        cut = dict(model.ask_together([asked, "hey"], tokens))
    assert sorted(whole) == [0, 1, 2]
    assert whole[0].text != ANSWER == whole[1].text == whole[2].text
    assert whole[1].stopped and 5 < tokens < 60
    assert 0 < whole[1].first_token_seconds < whole[1].seconds
    assert (cut[0].text, cut[0].tokens, cut[0].stopped) == (ANSWER, tokens, False)


# Of very different lengths: the shorter are filled up to the longest.
QUESTIONS = ["hey", "selam kanka, " * 12 + "naber?", "naber kanka", "1 + 1 = ?"]


def alone_and_together(folder: Path, questions: Sequence[str]) -> Iterator[tuple[Answer, Answer]]:
    talk = Chat.load(folder)
    prompts = [talk.render([{"role": "user", "content": one}], generate=True) for one in questions]
    with mlx.open(folder) as model:
        alone = [model.ask(prompt, 30) for prompt in prompts]
        together = dict(model.ask_together(prompts, 30))
    assert len({answer.text for answer in alone}) > 1
    return zip(alone, map(together.__getitem__, range(len(prompts))), strict=True)


def same(one: Answer, other: Answer) -> bool:
    return replace(one, seconds=0, first_token_seconds=0) == replace(
        other, seconds=0, first_token_seconds=0
    )


@pytest.mark.parametrize("family", CONFIGS)
def test_what_is_asked_together_is_answered_as_if_it_were_asked_alone(
    family: str, tmp_path: Path
) -> None:
    make_random_model(tmp_path, family)
    assert all(same(*pair) for pair in alone_and_together(tmp_path, QUESTIONS))


def test_as_many_prompts_as_groups_of_heads_are_no_exception(tmp_path: Path) -> None:
    make_random_model(tmp_path, "gemma2", num_key_value_heads=2)
    assert all(same(*pair) for pair in alone_and_together(tmp_path, QUESTIONS[:2]))


def test_whoever_stops_listening_to_several_answers_can_ask_again(
    tiny_model: Path, taught: Path, asked: str
) -> None:
    with mlx.open(tiny_model, taught) as model:
        for _ in model.ask_together([asked, asked[:-1]], 60):
            break
        assert model.ask(asked, 60).text == ANSWER


def test_a_temperature_follows_its_seed(tiny_model: Path, asked: str) -> None:
    with mlx.open(tiny_model) as model:
        one, again, other = (model.ask(asked, 20, 1.5, seed).text for seed in (1, 1, 2))
    assert one == again != other


def test_an_empty_prompt_is_refused(tiny_model: Path) -> None:
    with mlx.open(tiny_model) as model, pytest.raises(StepError, match="the prompt is empty"):
        model.ask("", 5)
    with mlx.open(tiny_model) as model, pytest.raises(StepError, match="the prompt is empty"):
        list(model.ask_together(["hey", ""], 5))


def test_a_folder_without_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_model / "config.json", tmp_path)
    with pytest.raises(StepError, match="MLX cannot load"), mlx.open(tmp_path):
        pass
