"""Put a GGUF live in an Ollama server, or leave what is live as it was.

Everything goes to a candidate tag first. Only when the server renders the training's own prompts
and gives an answer is the candidate copied over the live tags.
"""

import ast
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from jessy_build import digest, parted
from jessy_build.diagnostics import StepError
from jessy_build.packaging import glance, live, versions
from jessy_build.packaging.ollama_server import QUICK_SECONDS, Server, refused

if TYPE_CHECKING:
    from jessy_build.packaging.modelfile import Modelfile

Progress = Callable[[int, int | None, str], None]
"""Done, total (None when nobody can know), and what the server is doing."""

TEST_TOKENS = 16
SMALLER = ("q8_0", "q4_K_M", "q4_K_S")
"""Kinds that Ollama makes of a GGUF and that keep less than what was trained."""

_MODEL = re.compile(r"(?:[A-Za-z0-9_][\w.-]{0,79}/)?[A-Za-z0-9_][\w.-]{0,79}", re.ASCII)
_TAG = re.compile(r"[A-Za-z0-9_][\w.-]{0,79}", re.ASCII)


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
    """Its `from_` and `adapter` are for the file only: the server gets `gguf` and `adapter`."""
    expected_prompts: Sequence[tuple[Sequence[Turn], str]]
    """Conversations, and the text that the training's template makes of them."""
    bos: str = ""
    """The text of the token that the server puts in front by itself."""
    template_file: str | None = None
    """As the recipe names it; None where the template was derived."""
    quantize: Sequence[str | None] = (None,)
    """Kinds to try in turn; None leaves the weights as they are in `gguf`."""
    judge: Callable[[str, str], StepError | None] = lambda tag, kind: None
    """Asks a candidate of smaller weights whether it still is what was trained. An error makes the
    next kind be tried; behind the last one it ends the deployment."""
    allow_remote: bool = False
    adapter: Path | None = None
    """A GGUF LoRA for the server to put on top."""


@dataclass(frozen=True, slots=True)
class Deployed:
    tag: str
    digest: str
    seconds: float
    server_version: str
    answer: str
    """What the model said to the first of the expected prompts."""
    quantize: str | None = None
    """The first kind that would do."""
    problem: str = ""
    """Why what was live before is not kept for a way back."""


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
    server = Server(host, allow_remote=allow_remote)
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
    server = Server(order.host, allow_remote=order.allow_remote)
    tag, latest, candidate = _tags(order)
    running = glance.version(order.host, QUICK_SECONDS)
    if running is None:
        raise StepError(f"no Ollama answers at {order.host}", hint="start it: ollama serve")
    wanted = order.modelfile.requires
    if wanted is not None and versions.is_older(running, wanted):
        raise StepError(
            f"Ollama at {order.host} is {running}, and the model requires {wanted} or newer",
            hint="update Ollama; or lower modelfile.requires, if an older one will do",
        )
    blobs = {file: _upload(server, file, progress) for file in (order.gguf, order.adapter) if file}
    try:
        kind = _create_one(server, candidate, blobs, order, progress)
        _prove_prompts(server, candidate, order)
        answer = _one_answer(server, candidate, order)
        made = server.digests()[candidate]
        problem = live.promote(server, candidate, tuple(dict.fromkeys((tag, latest))), made)
    finally:
        # The server may be gone; what was wrong is in the error that is on its way already.
        with suppress(StepError):
            server.delete(candidate)
    return Deployed(tag, made, time.monotonic() - started, running, answer, kind, problem)


def _tags(order: Deployment) -> tuple[str, str, str]:
    candidate = f"{order.version}-candidate"
    if not _MODEL.fullmatch(order.model):
        raise StepError(f"'{order.model}' is no name that Ollama takes for a model")
    if not _TAG.fullmatch(order.version) or not _TAG.fullmatch(candidate):
        raise StepError(f"'{order.version}' is no tag that Ollama takes")
    return f"{order.model}:{order.version}", f"{order.model}:latest", f"{order.model}:{candidate}"


def _upload(server: "Server", path: Path, progress: Progress) -> str:
    size = path.stat().st_size
    progress(0, size, "hashing the model")
    name = f"sha256:{digest.of_file(path)}"
    if not server.has_blob(name):
        server.put_blob(name, path, lambda done: progress(done, size, "uploading the model"))
    return name


def _create_one(
    server: Server,
    candidate: str,
    blobs: Mapping[Path, str],
    order: Deployment,
    progress: Progress,
) -> str | None:
    problem = None
    for kind in order.quantize:
        _create(server, _create_body(candidate, blobs, order, kind), order, progress)
        problem = order.judge(candidate, kind) if kind in SMALLER else None
        if problem is None:
            return kind
    raise problem or ValueError("no kind to try")


def _create(server: Server, body: Mapping[str, Any], order: Deployment, progress: Progress) -> None:
    last = ""
    try:
        for line in server.stream("POST", "/api/create", body):
            if "error" in line:
                raise refused("create the model", line["error"])
            last = str(line.get("status", ""))
            progress(int(line.get("completed") or 0), line.get("total"), last)
    except StepError as error:
        if order.template_file and "template" in error.problem:
            hint = f"mend {order.template_file}, or write modelfile.template: auto"
            raise StepError(error.problem, hint=hint) from error
        raise
    # Errors come under HTTP 200 too, and a dying server just ends the stream.
    if last != "success":
        raise StepError(
            f"Ollama ended without success; its last word was '{last}'",
            hint="look at the log of `ollama serve`, then build again",
        )


def _create_body(
    candidate: str, blobs: Mapping[Path, str], order: Deployment, kind: str | None
) -> dict[str, Any]:
    m, adapter = order.modelfile, order.adapter
    said = {
        "model": candidate,
        "files": {order.gguf.name: blobs[order.gguf]},
        "adapters": {adapter.name: blobs[adapter]} if adapter else {},
        "system": m.system,
        "template": m.template,
        "parameters": dict(m.parameters),
        "messages": [{"role": turn.role, "content": turn.content} for turn in m.messages],
        "license": list(m.license),
        "requires": m.requires,
        "quantize": kind,
        "stream": True,
    }
    return {key: value for key, value in said.items() if value not in (None, [], {})}


def _prove_prompts(server: "Server", candidate: str, order: Deployment) -> None:
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
            raise _another_prompt(expected, fits[adds_bos][0], order.template_file)


def _adds_bos(server: "Server", candidate: str) -> bool | None:
    """Whether the server puts a BOS in front, as the GGUF tells it; None when it does not tell."""
    shown = server.ask("/api/show", {"model": candidate}, what="show the model")
    adds = shown.get("model_info", {}).get("tokenizer.ggml.add_bos_token")
    return adds if isinstance(adds, bool) else None


def _another_prompt(expected: str, sent: str, template_file: str | None) -> StepError:
    named = f"{template_file}: " if template_file else ""
    return StepError(
        f"{named}Ollama would send the model another prompt than it was trained on, from character "
        f"{parted.at(expected, sent) + 1} on:\n"
        + parted.shown(("training", expected), ("Ollama", sent)),
        hint=f"mend {template_file}, or write modelfile.template: auto"
        if template_file
        else "choose base.chat_template: chatml | gemma | llama3, which Ollama renders alike",
    )


def _one_answer(server: "Server", candidate: str, order: Deployment) -> str:
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


def _plain(messages: Iterable[Turn]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]
