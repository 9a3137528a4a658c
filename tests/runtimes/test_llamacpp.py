"""Real answers of the tiny model through llama.cpp, from a GGUF of ours."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("xllamacpp")
pytest.importorskip("mlx_lm")

from jessy_build.chat import Chat
from jessy_build.diagnostics import StepError
from jessy_build.packaging import fuse, gguf_write
from jessy_build.runtimes import llamacpp, mlx
from tests.taught import ANSWER


@pytest.fixture(scope="module")
def gguf(tiny_model: Path, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    fuse.fuse(tiny_model, taught, folder / "fused")
    gguf_write.write(folder / "fused", folder / "tiny.gguf", kind="f32", name="tiny")
    return folder / "tiny.gguf"


@pytest.fixture(scope="module")
def stops(tiny_model: Path) -> tuple[str, ...]:
    return Chat.load(tiny_model).stops


def test_the_file_answers_as_mlx_does(
    gguf: Path, stops: tuple[str, ...], tiny_model: Path, taught: Path, asked: str
) -> None:
    with llamacpp.open(gguf, stops) as model:
        answer = model.ask(asked, 60)
    with mlx.open(tiny_model, taught) as model:
        expected = model.ask(asked, 60)
    assert (answer.text, answer.tokens, answer.stopped) == (ANSWER, expected.tokens, True)
    assert 0 < answer.first_token_seconds <= answer.seconds


def test_an_answer_that_is_cut_says_so(gguf: Path, stops: tuple[str, ...], asked: str) -> None:
    with llamacpp.open(gguf, stops) as model:
        answer = model.ask(asked, 3)
    assert (answer.tokens, answer.stopped) == (3, False)
    assert ANSWER.startswith(answer.text)


def test_a_stop_text_ends_an_answer_and_is_no_part_of_it(gguf: Path, asked: str) -> None:
    with llamacpp.open(gguf, ("!",)) as model:
        answer = model.ask(asked, 60)
    assert (answer.text, answer.stopped) == (ANSWER.partition("!")[0], True)


def test_a_stream_gives_the_same_text(gguf: Path, stops: tuple[str, ...], asked: str) -> None:
    with llamacpp.open(gguf, stops) as model:
        pieces = list(model.stream(asked, 60))
    assert "".join(pieces) == ANSWER
    assert len(pieces) > 3


def test_a_reader_may_leave_a_stream_early_and_ask_again(
    gguf: Path, stops: tuple[str, ...], asked: str
) -> None:
    with llamacpp.open(gguf, stops) as model:
        stream = model.stream("selam", 1500, temperature=1.0)
        next(stream)
        begin = time.monotonic()
        stream.close()  # type: ignore[attr-defined]
        assert model.ask(asked, 60).text == ANSWER
        assert time.monotonic() - begin < 5


def test_an_answer_does_not_hang_on_what_was_asked_before(
    gguf: Path, stops: tuple[str, ...], asked: str
) -> None:
    with llamacpp.open(gguf, stops) as model:
        one = model.ask(asked, 20, temperature=1.0, seed=5).text
        model.ask("something else", 5)
        assert model.ask(asked, 20, temperature=1.0, seed=5).text == one


def test_a_prompt_longer_than_the_context_is_refused_and_the_next_one_answered(
    gguf: Path, stops: tuple[str, ...], asked: str
) -> None:
    with llamacpp.open(gguf, stops, context=256) as model:
        with pytest.raises(StepError, match=r"llama\.cpp refused the prompt"):
            model.ask("selam " * 400, 5)
        assert model.ask(asked, 60).text == ANSWER


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    for content in (b"", b"no gguf at all", b"GGUF" + bytes(64)):
        bad.write_bytes(content)
        with pytest.raises(StepError, match=r"llama.cpp cannot load bad.gguf"), llamacpp.open(bad):
            pass


def test_nothing_is_left_open_and_nothing_is_said(gguf: Path, asked: str) -> None:
    """In a process of its own: its streams and threads are looked at as a whole."""
    script = """
import os, sys, threading, time
from pathlib import Path
from jessy_build.runtimes import llamacpp
with llamacpp.open(Path(sys.argv[1])) as model:
    model.ask(sys.argv[2], 5)
    held = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc") else 0
time.sleep(0.3)
left = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc") else 0
assert not held or left < held, (held, left)
assert threading.active_count() == 1
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(gguf), asked],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert threading.active_count() >= 1
