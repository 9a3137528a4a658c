"""parity: the file that is served does what was trained, or nothing is deployed.

Token ids of all training rows, and answers with their likelihood: llama.cpp, which serves the file,
against MLX, which trained the model. The prompt's text is proved by `deploy`, on the server.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessy_build import chat, mlx_model, parted
from jessy_build.diagnostics import StepError
from jessy_build.engine.kind import Facts, Job, always
from jessy_build.example import Message
from jessy_build.parity import agreement
from jessy_build.parity.agreement import Choice, Seen
from jessy_build.parity.survival import Place, Probe, Said
from jessy_build.plan.step import Step
from jessy_build.steps import gguf, likeness, probes, select
from jessy_build.steps.likeness import Ids

if TYPE_CHECKING:
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.runtimes.llamacpp import Runtime

name = "parity"
version = 1
holds = always

SMALLER = ("q8_0",)
"""Kinds of GGUF that keep less than what was trained, which is F16."""
ROW_LETTERS = 4000
"""Rows are compared in groups of so many letters: each question costs a millisecond."""


def expand(loaded: "LoadedRecipe") -> list[Step]:
    recipe = loaded.recipe
    params = {"kind": recipe.export.gguf}
    needs = {"base": "convert", "gguf": "gguf", "dataset": "assemble"}
    needs |= (
        {"adapter": select.adapter(recipe)}
        if recipe.export.kind == "adapter"
        else {"model": "fuse"}
    )
    span = loaded.span_of("export")
    about = {"export.gguf": recipe.export.gguf}
    return [Step(name, name, version, params, needs, "gpu", span, about=about)]


def run(job: Job) -> Facts:
    talk = chat.Chat.load(job.inputs["base"])
    tokenizer = mlx_model.tokenizer(job.inputs["base"])
    rows = list(_rows(job.inputs["dataset"] / "train.jsonl"))
    prompts = [talk.render(probes.asked_first(row), generate=True) for row in probes.drawn(rows)]
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in prompts]
    served, kind = _reference(job)
    with likeness.open_exactly(served, ids, gguf.adapter(job.inputs["gguf"])) as runtime:
        _same_tokens(
            job, runtime, tokenizer, [(row["id"], talk.render(row["messages"])) for row in rows]
        )
        _told_of_template(job, runtime, talk)
        answers = likeness.answers(job, runtime, ids)
    trained = likeness.followed(job, "trained", ids, answers)
    base = likeness.followed(job, "base", ids, answers)
    found = agreement.compare(answers, trained)
    limit = agreement.limit(kind, agreement.effect(trained, base))
    if not found.within(limit):
        at = found.worst[0]
        because = likeness.cause(job, ids, kind, limit)
        where = likeness.Where(prompts[at], answers[at], trained[at])
        raise likeness.apart(found, limit, kind, where, tokenizer, because)
    ends = mlx_model.ends(job.inputs["base"])
    made = _probes(prompts, ids, answers, trained, base, tokenizer, ends)
    text = json.dumps([asdict(probe) for probe in made], ensure_ascii=False, indent=1)
    (job.out / probes.FILE).write_text(text + "\n", encoding="utf-8")
    return {
        "kind": job.step.params["kind"],
        "rows": len(rows),
        "probes": len(made),
        "places": found.places,
        "mean": found.mean,
        "choice": found.choice,
        "limit": asdict(limit),
        "measures": probes.measures(made, likeness.said_by_base(job, prompts), kind),
        "survival": _survival(job, made, ids),
    }


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)


def _reference(job: Job) -> tuple[Path, str]:
    """The file that must do exactly what was trained: the one that is served, or, where that is
    smaller, one that is written for this comparison."""
    kind = job.step.params["kind"]
    if kind not in SMALLER:
        return job.inputs["gguf"] / gguf.FILE, kind
    return likeness.written(job, "whole.gguf", "f16"), "f16"


# ── token ids


def _same_tokens(
    job: Job, runtime: "Runtime", tokenizer: Any, rows: Sequence[tuple[str, str]]
) -> None:
    done = 0
    for group in _groups(rows):
        if job.cancelled():
            raise KeyboardInterrupt
        text = "".join(text for _, text in group)
        if runtime.tokenize(text) != tokenizer.encode(text, add_special_tokens=False).ids:
            for row in group:
                _same_tokens_of(row, runtime, tokenizer)
        done += len(group)
        job.progress(done, len(rows), "rows", "token ids")


def _groups(rows: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    group: list[tuple[str, str]] = []
    letters = 0
    for row in rows:
        group.append(row)
        letters += len(row[1])
        if letters > ROW_LETTERS:
            yield group
            group, letters = [], 0
    if group:
        yield group


def _same_tokens_of(row: tuple[str, str], runtime: "Runtime", tokenizer: Any) -> None:
    id, text = row
    ours = tokenizer.encode(text, add_special_tokens=False).ids
    theirs = runtime.tokenize(text)
    if ours == theirs:
        return
    cut = [[likeness.piece(tokenizer, token) for token in tokens] for tokens in (ours, theirs)]
    raise StepError(
        f"tokenizer: the GGUF cuts row {id} into other tokens than the training did:\n"
        + parted.pieces(("training", cut[0]), ("GGUF", cut[1])),
        hint="the base's tokenizer is one that llama.cpp does not know; choose another base",
    )


def _told_of_template(job: Job, runtime: "Runtime", talk: "chat.Chat") -> None:
    """Ollama is given a template of its own; others that load the file take the one in it."""
    turns = (Message("user", "naber"), Message("assistant", "İyiyim."), Message("user", "🙂 {{x}}"))
    ours = talk.render(turns, generate=True).removeprefix(talk.leading_bos)
    theirs = runtime.render([{"role": t.role, "content": t.content} for t in turns])
    if ours != theirs:
        job.note(
            "llama.cpp renders the chat template in the GGUF otherwise than the training did; ask"
            " this model through Ollama and the Modelfile:\n"
            + parted.shown(("training", ours), ("llama.cpp", theirs))
        )


# ── probes


def _probes(
    prompts: Sequence[str],
    ids: Ids,
    answers: Sequence[Sequence[Choice]],
    trained: Sequence[Sequence[Seen]],
    base: Sequence[Sequence[Seen]],
    tokenizer: Any,
    ends: frozenset[int],
) -> list[Probe]:
    made = []
    for prompt, asked, answer, seen, plain in zip(
        prompts, ids, answers, trained, base, strict=True
    ):
        tokens = [choice.token for choice in answer]
        stopped = tokens[-1:] != [] and tokens[-1] in ends
        text = tokens[:-1] if stopped else tokens
        places = []
        for n, token in enumerate(text[: probes.PLACES]):
            before = tokenizer.decode(text[:n], skip_special_tokens=False)
            piece = likeness.piece(tokenizer, token)
            # Servers are asked in text: it must lead to the same tokens there.
            again = tokenizer.encode(prompt + before, add_special_tokens=False).ids
            if again == [*asked, *text[:n]] and "\ufffd" not in before + piece:
                # Rounded: what two machines compute alike shall be one file.
                numbers = (one[n].likelihood[token] for one in (seen, plain))
                places.append(Place(before, piece, *(round(number, 3) for number in numbers)))
        said = Said(tokenizer.decode(text), len(text), stopped)
        made.append(Probe(prompt, said, tuple(places)))
    return made


def _survival(job: Job, made: Sequence[Probe], ids: Ids) -> list[dict[str, Any]]:
    """A table of what is left in a file that is smaller, or nothing where it is not."""
    kind = job.step.params["kind"]
    if kind not in SMALLER:
        return []
    served, adapter = job.inputs["gguf"] / gguf.FILE, gguf.adapter(job.inputs["gguf"])
    with likeness.open_exactly(served, ids, adapter) as runtime:
        verdict = probes.judge(
            made, runtime, lambda done: job.progress(done, len(made), "probes", kind)
        )
    if not verdict.survived:
        raise probes.erased(kind, verdict, hint="write export: {gguf: f16}")
    return [probes.as_facts(kind, verdict)]


def summary(facts: Facts) -> str:
    same = f"{facts['rows']} rows and {facts['probes']} answers as trained"
    return f"{same}, {facts['mean']:.2g} nats apart"
