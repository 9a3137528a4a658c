"""Real answers of the tiny model through MLX."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("mlx_lm")

from jessy_build.diagnostics import StepError
from jessy_build.runtimes import mlx
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


def test_a_temperature_follows_its_seed(tiny_model: Path, asked: str) -> None:
    with mlx.open(tiny_model) as model:
        one, again, other = (model.ask(asked, 20, 1.5, seed).text for seed in (1, 1, 2))
    assert one == again != other


def test_an_empty_prompt_is_refused(tiny_model: Path) -> None:
    with mlx.open(tiny_model) as model, pytest.raises(StepError, match="the prompt is empty"):
        model.ask("", 5)


def test_a_folder_without_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_model / "config.json", tmp_path)
    with pytest.raises(StepError, match="MLX cannot load"), mlx.open(tmp_path):
        pass
