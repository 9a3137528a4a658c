"""Ask a model that an Ollama server serves, in the prompt text it was trained on."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from jessy_build import hosts
from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.runtimes.answer import Answer

LOAD_SECONDS = 600.0
"""Between two pieces of an answer: the first one waits until the model is in memory."""
NAMED = 20
"""Tokens that a server names with their likelihood, at most."""
PLAIN = {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Ollama bends the scores by default; other runtimes do not, and answers are to be compared."""


class Turn(Protocol):
    @property
    def role(self) -> str: ...
    @property
    def content(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Runtime:
    tag: str
    bos: str
    """What the server puts in front of every prompt by itself; '' where it puts nothing."""
    _host: str
    _client: Any

    def ask(self, prompt: str, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Answer:
        pieces: list[str] = []
        first = 0.0
        last: Any = {}
        started = time.perf_counter()
        for part in self._generate(prompt, max_tokens, temperature, seed):
            if part["response"] and not pieces:
                first = time.perf_counter() - started
            pieces.append(part["response"])
            last = part
        seconds = time.perf_counter() - started
        loading = (last.get("load_duration") or 0) / 1e9
        return Answer(
            text="".join(pieces),
            tokens=_tokens(last),
            seconds=max(0.0, seconds - loading),
            first_token_seconds=max(0.0, first - loading),
            stopped=last.get("done_reason") == "stop",
        )

    def stream(
        self, prompt: str, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[str]:
        for part in self._generate(prompt, max_tokens, temperature, seed):
            if part["response"]:
                yield part["response"]

    def likelihood(self, prompt: str, token: str) -> float | None:
        """The logarithm of the probability that `token` comes next, or of the least likely one that
        the server names, where it is less likely still. None where the server tells none: it is
        older than 0.12.11, or its answer ended there."""
        options = {**PLAIN, "num_predict": 1, "temperature": 0.0, "seed": 0}
        text = prompt.removeprefix(self.bos)
        with _asking(self._host, self.tag):
            said = self._client.generate(
                self.tag, text, raw=True, options=options, logprobs=True, top_logprobs=NAMED
            )
        if not said.logprobs or not said.logprobs[0].top_logprobs:
            return None
        named = {one.token: float(one.logprob) for one in said.logprobs[0].top_logprobs}
        return named.get(token, min(named.values()))

    def chat(self, messages: Iterable[Turn]) -> Iterator[str]:
        """As any user of the server gets it: its template, system text and sampling."""
        plain = [{"role": turn.role, "content": turn.content} for turn in messages]
        with _asking(self._host, self.tag):
            for part in self._client.chat(self.tag, plain, stream=True):
                if part["message"]["content"]:
                    yield part["message"]["content"]

    def _generate(
        self, prompt: str, max_tokens: int, temperature: float, seed: int
    ) -> Iterator[Any]:
        options = {**PLAIN, "num_predict": max_tokens, "temperature": temperature, "seed": seed}
        text = prompt.removeprefix(self.bos)
        with _asking(self._host, self.tag):
            yield from self._client.generate(self.tag, text, raw=True, stream=True, options=options)


def _tokens(last: Any) -> int:
    """The server counts the token that ended the turn, too."""
    counted = int(last.get("eval_count") or 0)
    return max(0, counted - 1) if last.get("done_reason") == "stop" else counted


@contextmanager
def open(host: str, tag: str, *, bos: str = "", allow_remote: bool = False) -> Iterator[Runtime]:
    """`bos` is the text of the token that opens a rendered prompt, where the template has one."""
    if not allow_remote and not hosts.is_loopback(host):
        raise StepError(
            f"{host} is not this machine, and nothing names it as the place to ask",
            hint="set OLLAMA_HOST to it to allow that",
        )
    try:
        from ollama import Client
    except ModuleNotFoundError:
        raise MissingPackage(
            "ollama", needed_for=f"asking {tag}", install="uv pip install jessy-build"
        ) from None
    # The client would follow a redirect to any other host, and take the prompts there.
    # Nor shall a proxy from the environment see what is asked on this machine.
    client = Client(
        host, timeout=LOAD_SECONDS, follow_redirects=False, trust_env=not hosts.is_loopback(host)
    )
    with client:
        with _asking(host, tag):
            known = client.show(tag).modelinfo or {}
        adds_bos = known.get("tokenizer.ggml.add_bos_token", False)
        yield Runtime(tag, bos if adds_bos else "", host, client)


@contextmanager
def _asking(host: str, tag: str) -> Iterator[None]:
    import httpx
    from ollama import ResponseError

    try:
        yield
    except ResponseError as error:
        if error.status_code == 404:
            raise StepError(
                f"Ollama at {host} has no model {tag}", hint="build it first, with deploy.ollama"
            ) from error
        raise StepError(f"Ollama could not answer as {tag}: {error.error}") from error
    except (ConnectionError, httpx.HTTPError) as error:
        raise StepError(
            f"no Ollama answers at {host} ({error or type(error).__name__})",
            hint="start it: ollama serve",
        ) from error
