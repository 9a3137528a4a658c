"""How the weights of the served file are held against the trained model: llama.cpp answers, MLX
follows. Where they part ways, files that are wrong on purpose tell what the cause is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import parted
from jessy_build.diagnostics import StepError
from jessy_build.engine.kind import Job
from jessy_build.parity import agreement
from jessy_build.parity.agreement import Agreement, Choice, Limit, Seen
from jessy_build.parity.survival import Said
from jessy_build.steps import gguf, probes, recorded

if TYPE_CHECKING:
    from jessy_build.packaging.architectures import Architecture
    from jessy_build.runtimes.llamacpp import Runtime

LIKELIEST = 5
FEW = 3
"""Probes that are enough to find a cause."""
Ids = Sequence[Sequence[int]]


def open_exactly(model: Path, ids: Ids, adapter: Path | None = None, strength: float = 1.0) -> Any:
    from jessy_build.runtimes import llamacpp

    room = max(map(len, ids)) + probes.ANSWER_TOKENS + 1
    context = -(-room // 256) * 256
    return llamacpp.open(model, context=context, adapter=adapter, exact=True, strength=strength)


def written(job: Job, name: str, kind: str, change: "Change" = lambda known: known) -> Path:
    """A file for a comparison alone, from what the served one was written from."""
    from jessy_build.packaging import gguf_write

    model = job.inputs["model"] if "model" in job.inputs else job.inputs["base"]
    file = job.work / name
    gguf_write.write(model, file, kind=kind, name=name, change=change)
    return file


def answers(job: Job, runtime: "Runtime", ids: Ids) -> list[list[Choice]]:
    found = []
    for number, prompt in enumerate(ids, start=1):
        if job.cancelled():
            raise KeyboardInterrupt
        said = runtime.greedy(prompt, probes.ANSWER_TOKENS, LIKELIEST)
        found.append([Choice(token, likeliest) for token, likeliest in said])
        job.progress(number, len(ids), "probes", "llama.cpp")
    return found


def followed(
    job: Job, which: str, ids: Ids, answers: Sequence[Sequence[Choice]]
) -> list[list[Seen]]:
    from jessy_build.runtimes import mlx

    found = []
    model, adapter = job.inputs["base"], None
    if which == "trained":
        adapter = job.inputs.get("adapter")
        model = model if adapter else job.inputs["model"]
    with mlx.open(model, adapter) as runtime:
        for number, (prompt, answer) in enumerate(zip(ids, answers, strict=True), start=1):
            if job.cancelled():
                raise KeyboardInterrupt
            # Kept are a few numbers a place: all of a large vocabulary would be gigabytes.
            rows = runtime.follow(prompt, [choice.token for choice in answer])
            found.append([agreement.seen(*pair) for pair in zip(answer, rows, strict=True)])
            job.progress(number, len(ids), "probes", f"MLX, {which}")
    return found


def said_by_base(job: Job, prompts: Sequence[str]) -> list[Said]:
    """What the base answers of itself: once, however often something is trained on it."""
    who = recorded.model("mlx", {"base": recorded.digests(job.made["base"])})

    def told(done: int) -> None:
        job.progress(done, len(prompts), "probes", "MLX, base's own")
        if job.cancelled():
            raise KeyboardInterrupt

    with recorded.opened(job.inputs["base"]) as ask:
        replies = recorded.replies(job.answers, who, prompts, probes.ANSWER_TOKENS, ask, told)
    return [Said(one.text, one.usage.output_tokens, one.stop == "end") for one in replies]


def piece(tokenizer: Any, token: int) -> str:
    return str(tokenizer.decode([token], skip_special_tokens=False))


@dataclass(frozen=True, slots=True)
class Where:
    """The answer in which both differ most."""

    prompt: str
    said: Sequence[Choice]
    seen: Sequence[Seen]


def apart(
    found: Agreement,
    limit: Limit,
    kind: str,
    where: Where,
    tokenizer: Any,
    cause: str,
) -> StepError:
    place = found.worst[1]
    before = tokenizer.decode([choice.token for choice in where.said[:place]])
    ours = before + piece(tokenizer, where.seen[place].best)
    theirs = before + piece(tokenizer, where.said[place].token)
    why = cause or "neither the order of q and k, nor the norms, nor the adapter's strength"
    return StepError(
        f"the GGUF is not the model that was trained: their likeliest tokens are"
        f" {found.mean:.2g} nats apart on average (at most {limit.mean:.2g} for {kind}), and a"
        f" choice of the one is {found.choice:.2g} behind the other's (at most {limit.choice:g})."
        f" After {parted.escaped(where.prompt[-60:])!r}:\n"
        + parted.shown(("training", ours), ("GGUF", theirs))
        + f"\n  {'the cause that fits' if cause else 'no cause fits'}: {why}",
        hint="this is a fault in the export, not in your rows: another base will do, and a report"
        " with this text helps to mend it",
    )


def cause(job: Job, ids: Ids, kind: str, limit: Limit) -> str:
    """What, done otherwise, makes both agree; '' where nothing does. Each try writes a file."""
    few = ids[:FEW]
    for name, opened in _tries(job, few, kind):
        with opened as runtime:
            said = answers(job, runtime, few)
        if agreement.compare(said, followed(job, "trained", few, said)).within(limit):
            return name
    return ""


Change = Callable[["Architecture"], "Architecture"]
OTHERWISE: Mapping[str, Change] = {
    "it was written from other weights than those that were trained": lambda known: known,
    "q/k order: llama.cpp wants the rows of q and k the other way": lambda known: replace(
        known, permutes_qk=not known.permutes_qk
    ),
    "norm offset: llama.cpp wants norms that are 1 off these": lambda known: replace(
        known, norm_offset=1.0 - known.norm_offset
    ),
}
"""What can be wrong with a file, and the one that would then be right."""


def _tries(job: Job, ids: Ids, kind: str) -> Iterator[tuple[str, Any]]:
    served, adapter = job.inputs["gguf"] / gguf.FILE, gguf.adapter(job.inputs["gguf"])
    if adapter is None:
        for name, change in OTHERWISE.items():
            yield name, open_exactly(written(job, "try.gguf", kind, change), ids)
        return
    for strength in _strengths(job.inputs["adapter"]):
        told = f"alpha: the adapter fits at {strength:g} times the strength in its file"
        yield told, open_exactly(served, ids, adapter, strength)


def _strengths(adapter: Path) -> list[float]:
    """Alpha that was left out, or taken for the scale, or the other way round."""
    import json

    settings = json.loads((adapter / "adapter_config.json").read_text("utf-8"))["lora_parameters"]
    rank, scale = float(settings["rank"]), float(settings["scale"])
    return [n for n in (scale, 1 / scale, rank, 1 / rank) if n != 1]
