"""The real ollama client: against a server that answers oddly, and against a real Ollama."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.example import Message
from jessy_build.packaging import ollama as packaging
from jessy_build.packaging.modelfile import Modelfile
from jessy_build.runtimes import ollama
from tests.loopback.server import Loopback, Seen, Status
from tests.ollama_server import running_server  # noqa: F401

CHATML = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}"
    "<|im_start|>assistant\n"
)
PROMPT = "<|im_start|>user\nSay only: yes<|im_end|>\n<|im_start|>assistant\n"


class Server(Loopback):
    """Shows one model, then answers by the script."""

    adds_bos = False
    lines: tuple[dict[str, Any], ...] = ()

    def usual(self, seen: Seen) -> Status:
        if seen.path == "/api/show":
            return Status(200, {"model_info": {"tokenizer.ggml.add_bos_token": self.adds_bos}})
        return Status(200, "".join(json.dumps(line) + "\n" for line in self.lines))


def part(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "response": text, "done": bool(more), **more}


ENDED = part("", done_reason="stop", eval_count=3, load_duration=0, total_duration=1)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        running.lines = (part("selam"), part(" kanka"), ENDED)
        yield running


def test_an_answer_is_put_together_from_its_pieces(server: Server) -> None:
    with ollama.open(server.url, "m") as runtime:
        answer = runtime.ask(PROMPT, 20, temperature=0.5, seed=7)
        assert list(runtime.stream(PROMPT, 20)) == ["selam", " kanka"]
    assert (answer.text, answer.tokens, answer.stopped) == ("selam kanka", 2, True)
    sent = server.seen[1].body
    assert (sent["prompt"], sent["raw"]) == (PROMPT, True)
    # Ollama would bend the scores by default, and no answer could be compared with another's.
    assert sent["options"] == {
        "num_predict": 20,
        "temperature": 0.5,
        "seed": 7,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
    }


def test_an_answer_that_was_cut_off_has_not_stopped(server: Server) -> None:
    server.lines = (part("selam"), part("", done_reason="length", eval_count=1))
    with ollama.open(server.url, "m") as runtime:
        answer = runtime.ask(PROMPT, 1)
    assert (answer.tokens, answer.stopped) == (1, False)


@pytest.mark.parametrize(("adds", "sent"), [(True, "rest"), (False, "<bos>rest")])
def test_a_bos_that_the_server_adds_is_not_sent_twice(
    server: Server, adds: bool, sent: str
) -> None:
    server.adds_bos = adds
    with ollama.open(server.url, "m", bos="<bos>") as runtime:
        runtime.ask("<bos>rest", 5)
    assert server.seen[-1].body["prompt"] == sent


def test_an_error_in_the_middle_of_an_answer_is_no_answer(server: Server) -> None:
    server.lines = (part("sel"), {"error": "an unknown error was encountered"})
    with (
        ollama.open(server.url, "m") as runtime,
        pytest.raises(StepError, match="could not answer as m: an unknown error"),
    ):
        runtime.ask(PROMPT, 5)


def test_an_unknown_model_and_no_server_are_told_apart(server: Server) -> None:
    with (
        Loopback(Status(404, {"error": "model 'x' not found"})) as empty,
        pytest.raises(StepError, match="has no model x"),
        ollama.open(empty.url, "x"),
    ):
        pass
    with (
        pytest.raises(StepError, match="no Ollama answers at"),
        ollama.open("http://127.0.0.1:9", "x"),
    ):
        pass


def test_another_machine_is_refused_unless_named() -> None:
    with (
        pytest.raises(StepError, match="is not this machine"),
        ollama.open("http://192.0.2.1:11434", "m"),
    ):
        pass


def test_no_redirect_takes_the_prompts_elsewhere(server: Server) -> None:
    away = Status(307, "", {"location": f"{server.url}/api/show"})
    with (
        Loopback(away) as astray,
        pytest.raises(StepError),
        ollama.open(astray.url, "m"),
    ):
        pass
    assert server.seen == []


def test_no_proxy_of_the_environment_sees_a_loopback_prompt(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with ollama.open(server.url, "m") as runtime:
        assert runtime.ask(PROMPT, 5).text == "selam kanka"


@pytest.fixture(scope="module")
def deployed(ollama_server: str, real_bases: Any) -> str:
    packaging.deploy(
        packaging.Deployment(
            host=ollama_server,
            model="talk",
            version="v1",
            gguf=Path(real_bases.smollm2),
            modelfile=Modelfile(
                "./m.gguf", {"stop": ("<|im_end|>",), "temperature": 0.0}, template=CHATML
            ),
            expected_prompts=[((Message("user", "Say only: yes"),), PROMPT)],
        ),
        lambda done, total, text: None,
    )
    return ollama_server


@pytest.mark.real
def test_a_real_model_answers_greedily_the_same_and_stops(deployed: str) -> None:
    with ollama.open(deployed, "talk:v1", bos="<|im_start|>") as runtime:
        first = runtime.ask(PROMPT, 30)
        again = runtime.ask(PROMPT, 30)
        streamed = "".join(runtime.stream(PROMPT, 30))
        cut = runtime.ask(PROMPT, 3)
        talked = "".join(runtime.chat([Message("user", "Say only: yes")]))
    assert first.text == again.text == streamed
    assert first.stopped
    assert "<|im_end|>" not in first.text
    assert 0 < first.first_token_seconds <= first.seconds
    assert (cut.tokens, cut.stopped) == (3, False)
    assert first.text.startswith(cut.text)
    assert talked
