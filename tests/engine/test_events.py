"""The lines of `--json`: their names and fields are a promise to scripts."""

from typing import get_args

import pytest

from jessy_build.engine import events

LINES = [
    (
        events.BuildStarted("jessy", "v1", ("fetch", "train")),
        {"event": "build_started", "name": "jessy", "version": "v1", "steps": ("fetch", "train")},
    ),
    (
        events.StepStarted("train", "train", ("lora.rank 8 → 16",)),
        {
            "event": "step_started",
            "step": "train",
            "kind": "train",
            "reasons": ("lora.rank 8 → 16",),
        },
    ),
    (
        events.StepProgress("train", 3, 120, "steps", "loss 2.31"),
        {
            "event": "step_progress",
            "step": "train",
            "done": 3,
            "total": 120,
            "unit": "steps",
            "text": "loss 2.31",
        },
    ),
    (
        events.StepNote("deploy", "no Ollama answers"),
        {"event": "step_note", "step": "deploy", "text": "no Ollama answers"},
    ),
    (
        events.StepFinished("train", 112.40049, "best loss 1.92"),
        {
            "event": "step_finished",
            "step": "train",
            "seconds": 112.4,
            "summary": "best loss 1.92",
        },
    ),
    (
        events.StepReused("fetch", "135 M parameters"),
        {"event": "step_reused", "step": "fetch", "summary": "135 M parameters"},
    ),
    (
        events.StepFailed("gguf", "no space left", "free 300 MB", "recipe.yaml:4:1"),
        {
            "event": "step_failed",
            "step": "gguf",
            "problem": "no space left",
            "hint": "free 300 MB",
            "where": "recipe.yaml:4:1",
        },
    ),
    (
        events.BuildFinished("failed", 1.5, 2, 3),
        {"event": "build_finished", "status": "failed", "seconds": 1.5, "ran": 2, "reused": 3},
    ),
]


@pytest.mark.parametrize(("event", "line"), LINES, ids=[line["event"] for _, line in LINES])
def test_an_event_becomes_its_line(event: events.Event, line: dict[str, object]) -> None:
    told = events.to_json(event)
    assert told == line
    assert next(iter(told)) == "event"


def test_every_event_has_a_name_and_a_line_above() -> None:
    assert set(events.NAMES) == set(get_args(events.Event)) == {type(event) for event, _ in LINES}
