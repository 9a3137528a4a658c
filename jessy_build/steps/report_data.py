"""Gather what the report tells from the artifacts of a build and their facts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jessy_build.engine.kind import Job
from jessy_build.engine.ledger import Artifact
from jessy_build.reports import data
from jessy_build.steps import publish, select
from jessy_build.trainers import halves


def of(job: Job) -> data.ReportData:
    made = job.made
    recipe = job.step.params["recipe"]
    trained = made["train"].facts
    return data.ReportData(
        name=job.step.params["name"],
        version=job.step.params["version"],
        description=job.step.params["description"],
        base=_base(recipe, made["fetch"], made["convert"].facts["parameters"]),
        dataset=_dataset(made["assemble"].facts, made["validate"].facts, trained),
        training=_training(made, recipe["train"]),
        comparisons=comparisons(made.get("evaluate")),
        steps=tuple(data.Step(s, a.seconds, a.made_at < job.started) for s, a in made.items()),
        files=_files(made),
        machine=_machine(trained),
        recipe=_yaml(recipe),
        modelfile=(job.inputs["deploy"] / "Modelfile").read_text(encoding="utf-8"),
        asked_how=_asked_how(job),
        parity=_parity(made),
        suites=_suites(made.get("score")),
    )


def _parity(made: Mapping[str, Artifact]) -> data.Parity:
    facts = made["parity"].facts
    deployed = made["deploy"].facts.get("survival", ())
    return data.Parity(
        kind=facts["kind"],
        rows=facts["rows"],
        probes=facts["probes"],
        apart=facts["mean"],
        most=facts["limit"]["mean"],
        smaller=tuple(_survival(one) for one in (*facts["survival"], *deployed)),
        # An older step measured neither.
        measures=tuple(_survival(one) for one in facts.get("measures", ())),
    )


def _survival(facts: Mapping[str, Any]) -> data.Survival:
    return data.Survival(kind=facts["model"], **{k: v for k, v in facts.items() if k != "model"})


def _base(recipe: Mapping[str, Any], fetched: Artifact, parameters: int) -> data.Base:
    base = recipe["base"]
    sha256 = base.get("sha256") or max(fetched.tree.values(), key=lambda file: file[1])[0]
    return data.Base(source=base["model"], sha256=sha256, parameters=parameters)


def _dataset(
    assembled: Mapping[str, Any], validated: Mapping[str, Any], trained: Mapping[str, Any]
) -> data.Dataset:
    return data.Dataset(
        counts=tuple(
            data.Count(c["category"], c["language"], c["complexity"], c["rows"])
            for c in assembled["composition"]
        ),
        train=assembled["train"],
        valid=assembled["valid"],
        tokens=trained["tokens"],
        trained_tokens=trained["supervised_tokens"],
        rejected=validated["rejected"],
        by_rule=tuple((rule, str(count)) for rule, count in sorted(validated["by_rule"].items())),
        warnings=tuple(validated["warnings"]),
        **_scores(validated.get("judged") or {}),
    )


def _scores(judged: Mapping[str, Any]) -> dict[str, Any]:
    if not judged.get("mean"):
        return {}
    criteria = tuple(judged["mean"])
    rows = {"all rows": judged["mean"], **judged["by_category"]}
    return {
        "criteria": criteria,
        "scores": tuple(
            data.Scores(name, tuple(mean.get(c) for c in criteria)) for name, mean in rows.items()
        ),
    }


def _training(made: Mapping[str, Artifact], config: Mapping[str, Any]) -> data.Training:
    trained = made["train"].facts
    return data.Training(
        curve=tuple(_curve(trained)),
        best_step=select.best({name: artifact.facts for name, artifact in made.items()})["step"],
        candidates=_candidates(made.get("select")),
        seconds=made["train"].seconds,
        settings=(*_flat(config), *_followed(trained)),
        peak_memory=trained["peak_memory"],
        expected_memory=trained.get("estimate", {}).get("memory"),
        tokens_per_second=trained["tokens_per_second"],
        halved=halves.in_words(trained["halved"]) if trained.get("halved") else "",
        processes=trained.get("processes", 1),
    )


def _candidates(selected: Artifact | None) -> tuple[data.Candidate, ...]:
    if selected is None:
        return ()
    return tuple(
        data.Candidate(
            one["step"], one["loss"], one["score"], one["passed"], selected.facts["prompts"]
        )
        for one in selected.facts["candidates"]
    )


def _suites(scored: Artifact | None) -> tuple[data.Suite, ...]:
    found = scored.facts["suites"] if scored else {}
    return tuple(_suite(name, suite["base"], suite["tuned"]) for name, suite in found.items())


def _suite(name: str, base: Mapping[str, Any], tuned: Mapping[str, Any]) -> data.Suite:
    return data.Suite(
        name,
        tuned["prompts"],
        data.Scored(base["score"], base["passed"]),
        data.Scored(tuned["score"], tuned["passed"]),
        tuple(
            data.Missed(row["prompt"], row["text"], tuple(row["missed"]))
            for row in tuned["rows"]
            if row["missed"]
        ),
    )


def _followed(trained: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the curve is to be seen besides, or why it is not."""
    services = trained.get("tracked", {})
    return [(f"track.{kind}", said["problem"] or said["where"]) for kind, said in services.items()]


def _curve(trained: Mapping[str, Any]) -> list[data.Point]:
    """Training and validation points in the order of their steps."""
    points = [data.Point(p["step"], p["epoch"], train_loss=p["loss"]) for p in trained["curve"]] + [
        data.Point(p["step"], p["epoch"], valid_loss=p["loss"]) for p in trained["validation"]
    ]
    return sorted(points, key=lambda point: point.step)


def _flat(value: Any, at: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        below = [_flat(part, f"{at}.{key}" if at else key) for key, part in value.items()]
        return [pair for pairs in below for pair in pairs]
    shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return [(at, shown)]


def comparisons(evaluated: Artifact | None) -> tuple[data.Comparison, ...]:
    if evaluated is None:
        return ()
    return tuple(
        data.Comparison(
            prompt=row["prompt"],
            language=row["language"] or "",
            complexity=row["complexity"] or "",
            seen=bool(row["seen"]),
            base=_answer(row["base"]),
            tuned=_answer(row["tuned"]),
        )
        for row in evaluated.facts["rows"]
    )


def _answer(row: Mapping[str, Any]) -> data.Answer:
    return data.Answer(row["text"], row["tokens"], row["seconds"], row["stopped"])


def _files(made: Mapping[str, Artifact]) -> tuple[data.File, ...]:
    return tuple(
        data.File((Path(below) / path).as_posix(), size, sha256)
        for step, below in publish.laid_out(made).items()
        for path, (sha256, size) in made[step].tree.items()
    )


def _machine(trained: Mapping[str, Any]) -> data.Machine:
    here = trained["machine"]
    versions = tuple((package, version) for package, version in here["versions"].items())
    return data.Machine(here["cpu"], here["memory"], trained["blas"], versions)


def _yaml(recipe: Mapping[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(
        json.loads(json.dumps(recipe)), sort_keys=False, allow_unicode=True, width=100
    )


def _asked_how(job: Job) -> str:
    limit = job.step.params["recipe"].get("evaluate", {}).get("max_tokens", 80)
    written = job.made["gguf"].facts
    kind = f"{written['kind'].upper()} GGUF in llama.cpp"
    on_top = ", the tuned one with its adapter on top" if "adapter" in written else ""
    return f"greedy, at most {limit} tokens, both as {kind}{on_top}"
