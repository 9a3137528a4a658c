"""A GGUF served by the real llama.cpp on loopback, and the questions that parity tests ask it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen


@dataclass(frozen=True)
class LlamaServer:
    url: str

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        body = {"content": text, "add_special": special, "parse_special": True}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def prompt(self, messages: Sequence[dict[str, str]]) -> str:
        return str(self._post("/apply-template", {"messages": list(messages)})["prompt"])

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The likeliest tokens after the prompt; fewer when the model ends its turn."""
        body = {
            "prompt": list(prompt),
            "n_predict": count,
            "temperature": 0,
            "return_tokens": True,
            "cache_prompt": False,
        }
        tokens: list[int] = self._post("/completion", body)["tokens"]
        return tokens

    def top(self, prompt: Sequence[int], count: int) -> dict[int, float]:
        """The likeliest next tokens, with their log-probabilities; none where the model ends."""
        body = {
            "prompt": list(prompt),
            "n_predict": 1,
            "temperature": 0,
            "n_probs": count,
            "cache_prompt": False,
        }
        places = self._post("/completion", body).get("completion_probabilities") or ()
        return {one["id"]: one["logprob"] for place in places for one in place["top_logprobs"]}

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        request = Request(self.url + path, data, {"Content-Type": "application/json"})
        with urlopen(request, timeout=300) as answer:
            value: dict[str, Any] = json.load(answer)
            return value


@contextmanager
def serving(
    gguf: Path, context: int = 512, threads: int | None = None, adapter: Path | None = None
) -> Iterator[LlamaServer]:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    if adapter is not None:
        params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0)]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = context
    params.n_parallel = 1
    params.warmup = False
    # Threads that spin while they wait for each other are slow as soon as anything else runs.
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    if threads is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    # llama.cpp halves the precision of what it remembers unless told not to.
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    server = xllamacpp.Server(params)
    try:
        yield LlamaServer(server.listening_address)
    finally:
        del server
