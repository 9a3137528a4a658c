"""Put a GGUF live in an Ollama server, or leave what is live as it was.

Everything goes to a candidate tag first. Only when the server renders the training's own prompts
and gives an answer is the candidate copied over the live tags.
"""

import ast
import ipaddress
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult

from jessy_build import digest
from jessy_build.diagnostics import StepError
from jessy_build.packaging import glance

if TYPE_CHECKING:
    from jessy_build.packaging.modelfile import Modelfile

Progress = Callable[[int, int | None, str], None]
"""Done, total (None when nobody can know), and what the server is doing."""

QUICK_SECONDS = 30.0
PATIENT_SECONDS = 600.0
"""Between two lines of an answer: quantising and loading a large model are silent for long."""
TEST_TOKENS = 16

_MODEL = re.compile(r"(?:[A-Za-z0-9_][\w.-]{0,79}/)?[A-Za-z0-9_][\w.-]{0,79}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][\w.-]{0,79}", re.ASCII)

_HINTS: Mapping[str, str] = {
    "quantization is only supported": "export the GGUF as f16, or leave deploy.ollama.quantize out",
    "unsupported quantization type": "Ollama quantises to q8_0, q4_K_M and q4_K_S",
    "unsupported architecture": "this server cannot run the base; a newer Ollama may",
    "no space left": "make room where Ollama keeps its models, then build again",
    "template error": "the chat template of the base gave a template that Ollama cannot read",
    "requires a newer version": "update Ollama, then build again",
    "requires more system memory": "free memory, or choose a smaller base or modelfile num_ctx",
}


class Turn(Protocol):
    @property
    def role(self) -> str: ...
    @property
    def content(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Deployment:
    host: str
    model: str
    version: str
    """The tag. `latest` follows it."""
    gguf: Path
    modelfile: "Modelfile"
    """Its `from_` is for the file only: the server gets `gguf`."""
    expected_prompts: Sequence[tuple[Sequence[Turn], str]]
    """Conversations, and the text that the training's template makes of them."""
    bos: str = ""
    """The text of the token that the server puts in front by itself."""
    quantize: str | None = None
    allow_remote: bool = False


@dataclass(frozen=True, slots=True)
class Deployed:
    tag: str
    digest: str
    seconds: float
    server_version: str
    answer: str
    """What the model said to the first of the expected prompts."""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server tells of a model that it has."""

    tag: str
    digest: str
    bytes: int
    """Of all layers, the weights foremost."""
    quantization: str
    """As Ollama writes it: F16, Q8_0, Q4_K_M."""
    weights: str | None
    """The sha256 of the GGUF file that it runs; None where the server does not say."""
    parameters: Mapping[str, Any]
    system: str
    template: str
    messages: tuple[tuple[str, str], ...]
    """Role and text of the turns before every conversation."""


def show(host: str, tag: str, *, allow_remote: bool) -> Served:
    """StepError when nobody answers there, or the model is not known."""
    server = _Server(host, allow_remote=allow_remote)
    if glance.version(host, QUICK_SECONDS) is None:
        raise StepError(f"no Ollama answers at {host}", hint="start it: ollama serve")
    tag = tag if ":" in tag else f"{tag}:latest"
    listed = server.get("/api/tags", what="list its models").get("models") or ()
    entry = next((model for model in listed if model.get("name") == tag), None)
    if entry is None:
        names = [str(model.get("name")) for model in listed]
        raise StepError(
            f"Ollama at {host} has no model {tag}",
            hint=f"it has {', '.join(names[:8])}" if names else "it has none yet",
        )
    told = server.ask("/api/show", {"model": tag}, what="show the model")
    weights = _WEIGHTS.search(str(told.get("modelfile") or ""))
    return Served(
        tag=tag,
        digest=str(entry.get("digest", "")),
        bytes=int(entry.get("size") or 0),
        quantization=str((told.get("details") or {}).get("quantization_level") or ""),
        weights=weights[1] if weights else None,
        parameters=_parameters(str(told.get("parameters") or "")),
        system=str(told.get("system") or ""),
        template=str(told.get("template") or ""),
        messages=tuple(
            (str(m.get("role")), str(m.get("content"))) for m in told.get("messages") or ()
        ),
    )


_WEIGHTS = re.compile(r"^FROM .*sha256[-:]([0-9a-f]{64})\s*$", re.MULTILINE)


def _parameters(text: str) -> dict[str, Any]:
    """Lines of a name and a value in Go's own notation; `stop` may come several times."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, said = line.strip().partition(" ")
        if not name:
            continue
        try:
            value = ast.literal_eval(said.strip())
        except (ValueError, SyntaxError):
            value = said.strip()
        found[name] = (*found.get(name, ()), value) if name == "stop" else value
    return found


def deploy(order: Deployment, progress: Progress) -> Deployed:
    started = time.monotonic()
    server = _Server(order.host, allow_remote=order.allow_remote)
    live, latest, candidate = _tags(order)
    running = glance.version(order.host, QUICK_SECONDS)
    if running is None:
        raise StepError(f"no Ollama answers at {order.host}", hint="start it: ollama serve")
    blob = _upload(server, order.gguf, progress)
    try:
        _create(server, candidate, blob, order, progress)
        _prove_prompts(server, candidate, order)
        answer = _one_answer(server, candidate, order)
        made = _digests(server)[candidate]
        _promote(server, candidate, tuple(dict.fromkeys((live, latest))), made)
    finally:
        # The server may be gone; what was wrong is in the error that is on its way already.
        with suppress(StepError):
            server.delete(candidate)
    return Deployed(live, made, time.monotonic() - started, running, answer)


def _tags(order: Deployment) -> tuple[str, str, str]:
    candidate = f"{order.version}-candidate"
    if not _MODEL.fullmatch(order.model):
        raise StepError(f"'{order.model}' is no name that Ollama takes for a model")
    if not _TAG.fullmatch(order.version) or not _TAG.fullmatch(candidate):
        raise StepError(f"'{order.version}' is no tag that Ollama takes")
    return f"{order.model}:{order.version}", f"{order.model}:latest", f"{order.model}:{candidate}"


def _upload(server: "_Server", path: Path, progress: Progress) -> str:
    size = path.stat().st_size
    progress(0, size, "hashing the model")
    name = f"sha256:{digest.of_file(path)}"
    if not server.has_blob(name):
        server.put_blob(name, path, lambda done: progress(done, size, "uploading the model"))
    return name


def _create(
    server: "_Server", candidate: str, blob: str, order: Deployment, progress: Progress
) -> None:
    last = ""
    for line in server.stream("POST", "/api/create", _create_body(candidate, blob, order)):
        if "error" in line:
            raise _refused("create the model", line["error"])
        last = str(line.get("status", ""))
        progress(int(line.get("completed") or 0), line.get("total"), last)
    # Errors come under HTTP 200 too, and a dying server just ends the stream.
    if last != "success":
        raise StepError(
            f"Ollama ended without success; its last word was '{last}'",
            hint="look at the log of `ollama serve`, then build again",
        )


def _create_body(candidate: str, blob: str, order: Deployment) -> dict[str, Any]:
    m = order.modelfile
    if m.adapter is not None:
        raise StepError("a model with an adapter beside it is not deployed", hint="fuse it first")
    said = {
        "model": candidate,
        "files": {order.gguf.name: blob},
        "system": m.system,
        "template": m.template,
        "parameters": dict(m.parameters),
        "messages": [{"role": turn.role, "content": turn.content} for turn in m.messages],
        "license": list(m.license),
        "requires": m.requires,
        "quantize": order.quantize,
        "stream": True,
    }
    return {key: value for key, value in said.items() if value not in (None, [], {})}


def _prove_prompts(server: "_Server", candidate: str, order: Deployment) -> None:
    """Character by character: a prompt the model was never trained on makes it another model."""
    if not order.expected_prompts:
        raise ValueError("at least one expected prompt is needed to prove a deployment")
    adds_bos = _adds_bos(server, candidate)
    for messages, expected in order.expected_prompts:
        answer = server.ask(
            "/api/chat",
            {
                "model": candidate,
                "messages": _plain(messages),
                "stream": False,
                "_debug_render_only": True,
            },
            what="render a prompt",
        )
        sent = answer.get("_debug_info", {}).get("rendered_template")
        if sent is None:
            raise StepError(
                "this Ollama does not show the prompts that it renders, so nothing can be proved",
                hint="Ollama 0.11.5 or newer does",
            )
        fits = {True: (order.bos + sent,), False: (sent,), None: (sent, order.bos + sent)}
        if expected not in fits[adds_bos]:
            raise _another_prompt(expected, fits[adds_bos][0])


def _adds_bos(server: "_Server", candidate: str) -> bool | None:
    """Whether the server puts a BOS in front, as the GGUF tells it; None when it does not tell."""
    shown = server.ask("/api/show", {"model": candidate}, what="show the model")
    adds = shown.get("model_info", {}).get("tokenizer.ggml.add_bos_token")
    return adds if isinstance(adds, bool) else None


def _another_prompt(expected: str, sent: str) -> StepError:
    at = next(
        (i for i, (a, b) in enumerate(zip(expected, sent, strict=False)) if a != b),
        min(len(expected), len(sent)),
    )
    near = slice(max(0, at - 20), at + 30)
    return StepError(
        "Ollama would send the model another prompt than it was trained on: at character "
        f"{at + 1} the training has {expected[near]!r}, Ollama {sent[near]!r}",
        hint="choose base.chat_template: chatml | gemma | llama3, which Ollama renders alike",
    )


def _one_answer(server: "_Server", candidate: str, order: Deployment) -> str:
    messages, _ = order.expected_prompts[0]
    answer = server.ask(
        "/api/chat",
        {
            "model": candidate,
            "messages": _plain(messages),
            "stream": False,
            "options": {"temperature": 0, "seed": 0, "num_predict": TEST_TOKENS},
        },
        what="answer",
    )
    text = str(answer.get("message", {}).get("content", ""))
    if not text.strip():
        raise StepError(
            "the deployed model gives an empty answer",
            hint="look at the answers in the report: was the training long enough, or too long?",
        )
    return text


def _promote(server: "_Server", candidate: str, targets: tuple[str, ...], made: str) -> None:
    """All targets or none: the old ones are kept aside until the last copy is made."""
    before = _digests(server)
    kept = {target: f"{target}-before" for target in targets if target in before}
    try:
        for target, aside in kept.items():
            server.copy(target, aside)
        try:
            for target in targets:
                server.copy(candidate, target)
            after = _digests(server)
            if wrong := [target for target in targets if after.get(target) != made]:
                raise StepError(f"Ollama did not take over {', '.join(wrong)}")
        except BaseException:
            _put_back(server, targets, kept)
            raise
    finally:
        for aside in kept.values():
            with suppress(StepError):
                server.delete(aside)


def _put_back(server: "_Server", targets: tuple[str, ...], kept: Mapping[str, str]) -> None:
    for target in targets:
        with suppress(StepError):
            if target in kept:
                server.copy(kept[target], target)
            else:
                server.delete(target)


def _digests(server: "_Server") -> dict[str, str]:
    listed = server.get("/api/tags", what="list its models")
    return {m["name"]: m["digest"] for m in listed.get("models") or ()}


def _plain(messages: Iterable[Turn]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


class _Server:
    """Ollama's HTTP API, one connection a request. Redirects are never followed."""

    def __init__(self, host: str, *, allow_remote: bool) -> None:
        self.host = host
        self.url = glance.split(host)
        if not allow_remote and not _is_loopback(self.url):
            raise StepError(
                f"{host} is not this machine, and nothing names it as the place to deploy to",
                hint="set OLLAMA_HOST to it to allow that",
            )

    def get(self, path: str, *, what: str) -> dict[str, Any]:
        with self._answer("GET", path, None, QUICK_SECONDS, what) as response:
            return _object(response.read())

    def ask(self, path: str, body: Mapping[str, Any], *, what: str) -> dict[str, Any]:
        with self._answer("POST", path, body, PATIENT_SECONDS, what) as response:
            return _object(response.read())

    def stream(self, method: str, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        with self._answer(method, path, body, PATIENT_SECONDS, "create the model") as response:
            while line := response.readline():
                if line.strip():
                    yield _object(line)

    def copy(self, source: str, destination: str) -> None:
        body = {"source": source, "destination": destination}
        with self._answer("POST", "/api/copy", body, QUICK_SECONDS, f"copy to {destination}") as r:
            r.read()

    def delete(self, tag: str) -> None:
        body = {"model": tag}
        with self._answer("DELETE", "/api/delete", body, QUICK_SECONDS, f"delete {tag}") as r:
            r.read()

    def has_blob(self, name: str) -> bool:
        connection = _connect(self.url, QUICK_SECONDS)
        with _talking(self.host, connection, "look for the model file"):
            connection.request("HEAD", f"{self.url.path}/api/blobs/{name}")
            return connection.getresponse().status == 200

    def put_blob(self, name: str, path: Path, sent: Callable[[int], None]) -> None:
        what = "take the model file"
        connection = _connect(self.url, PATIENT_SECONDS)
        headers = {"Content-Length": str(path.stat().st_size)}
        with _talking(self.host, connection, what):
            # It may have said why before it hung up; if not, reading raises.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(
                    "POST", f"{self.url.path}/api/blobs/{name}", _pieces(path, sent), headers
                )
            _checked(connection.getresponse(), what)

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Mapping[str, Any] | None, timeout: float, what: str
    ) -> Iterator[HTTPResponse]:
        connection = _connect(self.url, timeout)
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        with _talking(self.host, connection, what):
            connection.request(method, f"{self.url.path}{path}", data, headers)
            yield _checked(connection.getresponse(), what)


@contextmanager
def _talking(host: str, connection: HTTPConnection, what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException, ValueError) as error:
        raise StepError(
            f"Ollama at {host} broke off when asked to {what} ({error or type(error).__name__})",
            hint="look at the log of `ollama serve`, then build again",
        ) from error
    finally:
        connection.close()


def _pieces(path: Path, sent: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(digest.CHUNK):
            yield chunk
            done += len(chunk)
            sent(done)


def _checked(response: HTTPResponse, what: str) -> HTTPResponse:
    if response.status in (200, 201):
        return response
    words = response.read(1 << 16).decode("utf-8", "replace")
    with suppress(ValueError):
        words = str(_object(words)["error"])
    raise _refused(what, words or f"HTTP {response.status}")


def _refused(what: str, words: str) -> StepError:
    hint = next((hint for part, hint in _HINTS.items() if part in words.lower()), "")
    return StepError(f"Ollama refused to {what}: {words}", hint=hint)


def _object(data: str | bytes) -> dict[str, Any]:
    value = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("the answer is no JSON object")
    return value


def _connect(url: SplitResult, timeout: float) -> HTTPConnection:
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    return kind(url.hostname or "", url.port, timeout=timeout)


def _is_loopback(url: SplitResult) -> bool:
    name = url.hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
