"""Ask a GGUF through llama.cpp in this process, with no server of the user's and no compiler."""

import gc
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jessy_build.diagnostics import MissingPackage, StepError
from jessy_build.runtimes.answer import Answer

PATIENCE = 600.0
"""Seconds between two tokens of the slowest model that is still of use."""

NAMED = 20
"""Tokens whose likelihood is looked at."""


@dataclass(frozen=True, slots=True)
class Runtime:
    stops: tuple[str, ...]
    _host: str
    _port: int

    def ask(self, prompt: str, max_tokens: int, temperature: float = 0.0, seed: int = 0) -> Answer:
        """`prompt` is the rendered text; a BOS stands in it where the template writes one."""
        pieces: list[str] = []
        first = 0.0
        last: dict[str, Any] = {}
        started = time.perf_counter()
        for part in self._complete(prompt, max_tokens, temperature, seed):
            if part["content"] and not pieces:
                first = time.perf_counter() - started
            pieces.append(part["content"])
            last = part
        stopped = last.get("stop_type") in ("eos", "word")
        return Answer(
            text="".join(pieces),
            # llama.cpp counts the token that ended the turn, too.
            tokens=max(0, int(last.get("tokens_predicted", 0)) - stopped),
            seconds=time.perf_counter() - started,
            first_token_seconds=first,
            stopped=stopped,
        )

    def stream(
        self, prompt: str, max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[str]:
        for part in self._complete(prompt, max_tokens, temperature, seed):
            if part["content"]:
                yield part["content"]

    def tokenize(self, text: str) -> list[int]:
        """Ids of the text as it stands: nothing is put in front, special tokens are recognised."""
        body = {"content": text, "add_special": False, "parse_special": True}
        with self._post("/tokenize", body) as response:
            return list(json.load(response)["tokens"])

    def likelihood(self, prompt: str, token: str) -> float | None:
        """The logarithm of the probability that `token` comes next, or of the least likely one that
        is named, where it is less likely still. None where the answer ends there."""
        body = {
            "prompt": self.tokenize(prompt),
            "n_predict": 1,
            "temperature": 0,
            "n_probs": NAMED,
        }
        with self._post("/completion", body) as response:
            said = json.load(response).get("completion_probabilities") or ()
        if not said:
            return None
        named = {one["token"]: float(one["logprob"]) for one in said[0]["top_logprobs"]}
        return named.get(token, min(named.values()))

    def greedy(
        self, prompt: Sequence[int], max_tokens: int, likeliest: int = 5
    ) -> list[tuple[int, dict[int, float]]]:
        """Tokens of the answer, the one that ends it too; each with the likeliest at its place,
        and the logarithms of their probabilities before any sampling. llama.cpp names none where a
        token ends in the middle of a letter."""
        body = {
            "prompt": list(prompt),
            "n_predict": max_tokens,
            "temperature": 0,
            "n_probs": likeliest,
            "return_tokens": True,
            "cache_prompt": False,
        }
        with self._post("/completion", body) as response:
            said = json.load(response)
        # Left out where every token ends in the middle of a letter.
        named = said.get("completion_probabilities") or []
        found: list[tuple[int, dict[int, float]]] = []
        # From the end: of the tokens of one letter, the last is the one that is named.
        for token in reversed(said["tokens"]):
            if named and named[-1]["id"] == token:
                others = named.pop()["top_logprobs"]
                found.append((token, {other["id"]: other["logprob"] for other in others}))
            else:
                found.append((token, {}))
        return found[::-1]

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """By the chat template in the GGUF itself, without the BOS that a server adds."""
        with self._post("/apply-template", {"messages": list(messages)}) as response:
            return str(json.load(response)["prompt"])

    def _complete(
        self, prompt: str, max_tokens: int, temperature: float, seed: int
    ) -> Iterator[dict[str, Any]]:
        body = {
            # Ids, not text: the server would put a second BOS before a text that has one.
            "prompt": self.tokenize(prompt),
            "n_predict": max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop": list(self.stops),
            "stream": True,
            # Each answer is timed as if it were the first one.
            "cache_prompt": False,
        }
        with self._post("/completion", body) as response:
            for line in response:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    @contextmanager
    def _post(self, path: str, body: dict[str, Any]) -> Iterator[Any]:
        connection = HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            data = json.dumps(body).encode()
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status != 200:
                text = response.read(2000).decode(errors="replace")
                raise StepError(f"llama.cpp refused the prompt: {text}")
            yield response
        except (OSError, HTTPException) as error:
            raise StepError(f"llama.cpp stopped answering: {error}") from error
        finally:
            connection.close()


@contextmanager
def open(
    gguf: Path,
    stops: Sequence[str] = (),
    context: int = 2048,
    adapter: Path | None = None,
    exact: bool = False,
    strength: float = 1.0,
) -> Iterator[Runtime]:
    """Load the model; it is asked over loopback and unloaded at the end of the `with`.

    `exact`: keys and values are remembered whole, not in half precision, for comparisons.
    `strength` multiplies the adapter's own.
    """
    try:
        import xllamacpp
    except ModuleNotFoundError:
        install = "uv pip install 'jessy-build[mlx]'"
        raise MissingPackage("xllamacpp", needed_for="asking a GGUF", install=install) from None
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    if adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), strength)]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = context
    params.n_parallel = 1
    # Threads that spin while they wait for each other are slow as soon as anything else runs.
    params.cpuparams.poll = 0
    params.cpuparams_batch.poll = 0
    # Not a word on the terminal: what goes wrong comes back as an error.
    params.verbosity = -1
    if exact:
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        with_it = f" with {adapter.name}" if adapter else ""
        raise StepError(f"llama.cpp cannot load {gguf.name}{with_it}: {error}") from error
    address = urlsplit(server.listening_address)
    assert address.hostname and address.port
    runtime = Runtime(tuple(stops), address.hostname, address.port)
    try:
        # Until its loop has begun it may miss the word to end, and closing would wait for ever.
        runtime.ask("a", max_tokens=1)
        yield runtime
    finally:
        del server
        gc.collect()
