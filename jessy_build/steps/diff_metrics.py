"""What came out of two versions: files, losses, answers, costs; and which of it compares at all."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jessy_build.plan import interval
from jessy_build.plan.diff import Cost, File, Metric, Product, Verdict
from jessy_build.reports import figures
from jessy_build.steps import side_rows
from jessy_build.steps.sides import Side

FILES: Mapping[str, tuple[str, str]] = {
    "base": ("fetch", ""),
    "adapter": ("", "adapter"),
    "gguf": ("gguf", "file"),
    "Modelfile": ("deploy", "modelfile"),
}
"""Product → step and the figure in its block; '' for the block itself, or for the step that the
adapter comes from."""

MEASURES = {
    "input": "input tokens",
    "cached_input": "cached input tokens",
    "cache_write": "tokens written to a cache",
    "output": "output tokens",
    "batch_input": "input tokens of batches",
    "batch_cached_input": "cached input tokens of batches",
    "batch_cache_write": "tokens of batches written to a cache",
    "batch_output": "output tokens of batches",
}

JUDGING, JUDGE = "validate", "the judge"
"""The step that asks a judge, and what its costs are called: no category has a space in its name.
"""

OTHER_ROWS = "measured on other held-out rows"
OTHER_LIMIT = "answers had another limit of tokens"
OTHER_SUITE = "the suite asks or expects something else now"
NO_PAIRS = "the two were asked other prompts"
NO_ANSWERS = "the answers are not in this store, so they cannot be paired"
OTHER_MACHINE = "measured on another machine"
ONE_RUN = "one run each; another run or a busier machine takes other times"


def products(left: Side, right: Side) -> Iterator[Product]:
    for name, (step, figure) in FILES.items():
        old, new = _file(left, step, figure), _file(right, step, figure)
        if old is not None and new is not None:
            yield Product(name, old, new)


def _file(side: Side, step: str, figure: str) -> File | None:
    block = side.blocks.get(step or _trained(side))
    told = (block.figures.get(figure) if figure else block.figures) if block else None
    if not told or "bytes" not in told or "sha256" not in told:
        return None
    return File(told["bytes"], told["sha256"])


# Metrics


def metrics(left: Side, right: Side) -> Iterator[Metric]:
    yield from _row_counts(left, right)
    yield from _training(left, right)
    yield from _answers(left, right)
    yield from _scores(left, right)


def _row_counts(left: Side, right: Side) -> Iterator[Metric]:
    for name, part in (("rows trained on", "train"), ("rows held out", "valid")):
        old, new = (_figure(side, "assemble", part, "rows") for side in (left, right))
        if old is not None and new is not None:
            yield Metric(name, "rows", old, new, "same" if old == new else "changed")


def _training(left: Side, right: Side) -> Iterator[Metric]:
    old, new = (_figure(side, _trained(side), "validation_loss") for side in (left, right))
    if old is not None and new is not None:
        rows = [_figure(side, "assemble", "valid", "sha256") for side in (left, right)]
        comparable = rows[0] == rows[1]
        verdict = _by_value(old, new) if comparable else "not comparable"
        note = "" if comparable else OTHER_ROWS
        yield Metric("validation loss", "", old, new, verdict, note=note)
    old, new = (_figure(side, _trained(side), "best_step") for side in (left, right))
    if old is not None and new is not None:
        yield Metric("best step", "", old, new, "same" if old == new else "changed")


def _trained(side: Side) -> str:
    """The step whose adapter became the result."""
    return "select" if "select" in side.blocks else "train"


def _by_value(old: float, new: float) -> Verdict:
    return "same" if old == new else ("better" if new < old else "worse")


@dataclass(frozen=True)
class _Measure:
    name: str
    unit: str
    of: Callable[[Mapping[str, Any]], float]
    middle: Callable[[Sequence[float]], float | None]
    sign: int
    """1 where more is better, -1 where less is."""
    in_block: Callable[[Side], float | None]


def _share(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _ended(side: Side) -> float | None:
    asked, ended = _figure(side, "evaluate", "prompts"), _figure(side, "evaluate", "tuned", "ended")
    return ended / asked if asked and ended is not None else None


ASKED = (
    _Measure(
        *("median answer", "tokens", lambda answer: answer["tokens"], figures.median, -1),
        lambda side: _figure(side, "evaluate", "tuned", "median_tokens"),
    ),
    _Measure(
        *("median time to answer", "s", lambda answer: answer["seconds"], figures.median, -1),
        lambda side: None,
    ),
    _Measure(
        *("answers that end by themselves", "share", lambda answer: float(answer["stopped"])),
        *(_share, 1, _ended),
    ),
)


def _answers(left: Side, right: Side) -> Iterator[Metric]:
    """Prompt by prompt, where the same were asked: how often, not how much, may be chance."""
    if _same_artifact(left, right, "evaluate") or not _both_evaluated(left, right):
        yield from _unpaired(left, right, "")
        return
    before, after = _asked(left, "tuned"), _asked(right, "tuned")
    if before is None or after is None:
        yield from _unpaired(left, right, NO_ANSWERS)
        return
    if _limit(left) != _limit(right):
        yield from _unpaired(left, right, OTHER_LIMIT)
        return
    pairs = [(before[key], after[key]) for key in after if key in before]
    if not pairs:
        yield from _unpaired(left, right, NO_PAIRS)
        return
    for measure in ASKED:
        yield _paired(measure, pairs, _time_note(measure, left, right))


def _scores(left: Side, right: Side) -> Iterator[Metric]:
    """Prompt by prompt, where a suite expects the same on both sides."""
    for name in _figure(right, "score", "suites") or ():
        old, new = (_figure(side, "score", "suites", name, "tuned") for side in (left, right))
        if old is None or new is None:
            continue
        why = _unlike(left, right, name)
        if why:
            yield Metric(f"score of {name}", "", old, new, "not comparable", note=why)
            continue
        before, after = (_scored(side, name) for side in (left, right))
        measure = _Measure(
            *(f"score of {name}", "", lambda row: float(row["score"]), _share, 1),
            lambda side: None,
        )
        yield _paired(measure, list(zip(before, after, strict=True)), "")


def _unlike(left: Side, right: Side, suite: str) -> str:
    """Why two scores of a suite do not compare; '' where they do."""
    made = [side.artifacts.get("score") for side in (left, right)]
    if None in made:
        return NO_ANSWERS
    asked = [one.preimage["params"]["suites"][suite] for one in made if one]
    return "" if asked[0] == asked[1] else OTHER_SUITE


def _scored(side: Side, suite: str) -> Sequence[Mapping[str, Any]]:
    rows: Sequence[Mapping[str, Any]] = side.artifacts["score"].facts["suites"][suite]["tuned"][
        "rows"
    ]
    return rows


def _both_evaluated(left: Side, right: Side) -> bool:
    return "evaluate" in left.blocks and "evaluate" in right.blocks


def _unpaired(left: Side, right: Side, why: str) -> Iterator[Metric]:
    for measure in ASKED:
        old, new = measure.in_block(left), measure.in_block(right)
        if old is not None and new is not None:
            verdict: Verdict = "same" if not why and old == new else "not comparable"
            yield Metric(measure.name, measure.unit, old, new, verdict, note=why)


def _paired(
    measure: _Measure, pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], note: str
) -> Metric:
    old = [measure.of(before) for before, _ in pairs]
    new = [measure.of(after) for _, after in pairs]
    found = interval.of([b - a for a, b in zip(old, new, strict=True)])
    fair = note in ("", ONE_RUN)
    verdict: Verdict = _verdict(measure, found, old == new) if fair else "not comparable"
    return Metric(
        measure.name,
        measure.unit,
        measure.middle(old),
        measure.middle(new),
        verdict,
        difference=found.mean if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        pairs=len(pairs),
        note=note,
    )


def _verdict(measure: _Measure, found: interval.Interval | None, equal: bool) -> Verdict:
    if equal:
        return "same"
    if found is None or not found.shows_a_difference:
        return "no difference shown"
    return "better" if found.mean * measure.sign > 0 else "worse"


def _time_note(measure: _Measure, left: Side, right: Side) -> str:
    if measure.unit != "s":
        return ""
    machines = [_machine(side) for side in (left, right)]
    if None not in machines and machines[0] != machines[1]:
        return OTHER_MACHINE
    return _busier(measure, left, right) or ONE_RUN


def _busier(measure: _Measure, left: Side, right: Side) -> str:
    """Both runs asked the base too: where the same base took another time, the machine did."""
    before, after = _asked(left, "base"), _asked(right, "base")
    if not _same_artifact(left, right, "convert") or before is None or after is None:
        return ""
    keys = [key for key in after if key in before]
    old = [measure.of(before[key]) for key in keys]
    new = [measure.of(after[key]) for key in keys]
    found = interval.of([b - a for a, b in zip(old, new, strict=True)])
    if found is None or not found.shows_a_difference:
        return ""
    times = [figures.median(old) or 0, figures.median(new) or 0]
    return f"the base, which is the same, took {times[0]:.2f} s then and {times[1]:.2f} s now"


def _machine(side: Side) -> str | None:
    """Of the training: evaluation of the same build ran where it did."""
    made = side.artifacts.get("train")
    cpu = (made.facts.get("machine") or {}).get("cpu") if made else None
    return str(cpu) if cpu else None


def _asked(side: Side, who: str) -> dict[tuple[str, int], Mapping[str, Any]] | None:
    made = side.artifacts.get("evaluate")
    if made is None:
        return None
    seen: Counter[str] = Counter()
    found = {}
    for row in made.facts.get("rows", ()):
        found[row["prompt"], seen[row["prompt"]]] = row[who]
        seen[row["prompt"]] += 1
    return found


def _limit(side: Side) -> Any:
    made = side.artifacts.get("evaluate")
    return made.preimage["params"].get("max_tokens") if made else None


def _same_artifact(left: Side, right: Side, step: str) -> bool:
    old, new = left.blocks.get(step), right.blocks.get(step)
    return old is not None and new is not None and old.key == new.key


def _figure(side: Side, step: str, *names: str) -> Any:
    block = side.blocks.get(step)
    value: Any = block.figures if block else None
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


# Cost


def costs(left: Side, right: Side) -> Iterator[Cost]:
    """By category, then of the judge, then in sum; only where both sides know what they cost."""
    names = list(dict.fromkeys([*side_rows.categories(right), *side_rows.categories(left)]))
    steps = {name: f"generate:{name}" for name in names}
    if any(_cost(side, JUDGING) for side in (left, right)):
        steps[JUDGE] = JUDGING
    sums: dict[str, list[float | None]] = {}
    for category, step in steps.items():
        old, new = _cost(left, step), _cost(right, step)
        for measure in [*MEASURES.values(), "dollars"]:
            was, now = (side.get(measure, 0) if side is not None else None for side in (old, new))
            kept = sums.setdefault(measure, [0, 0])
            sums[measure] = [
                None if value is None or total is None else total + value
                for total, value in zip(kept, (was, now), strict=True)
            ]
            if was is not None and now is not None and (was or now):
                yield Cost(category, measure, was, now)
    if len(steps) > 1:
        for measure, (was, now) in sums.items():
            if was is not None and now is not None and (was or now):
                yield Cost("total", measure, was, now)


def _cost(side: Side, step: str) -> Mapping[str, float | None] | None:
    """None where it is not known. Nothing, where the side has no such step or asks nobody."""
    block = side.blocks.get(step)
    if block is None:
        return None if step in side.known else {}
    tokens = block.figures.get("tokens") or {}
    found: dict[str, float | None] = {
        said: tokens[name] for name, said in MEASURES.items() if tokens.get(name)
    }
    if tokens:
        found["dollars"] = block.figures.get("usd")
    return found
