"""How values are told in one line."""

from typing import Any

import pytest

from jessy_build.plan.diff import Field, Metric
from jessy_build.steps import diff_words

TOPICS = [{"name": "git"}, {"name": "rust", "count": 3}]

VALUES: list[tuple[Any, Any, str]] = [
    (4, 8, "4 → 8"),
    (None, 0.3, "nothing → 0.3"),
    (True, False, "true → false"),
    (["q", "v"], ["q", "k", "v"], "+ k"),
    (["q", "v"], ["v", "q"], "q, v → v, q"),
    (["q"], [], "− q"),
    (TOPICS, [{"name": "git"}, {"name": "rust", "count": 5}], "rust: count 3 → 5"),
    (TOPICS, [{"name": "git"}, {"name": "sql", "style": "short"}],
     "+ sql (style: short), − rust (count: 3)"),
    ([], [str(n) for n in range(10)], "+ 0, + 1, + 2, + 3, + 4, + 5, + 6, + 7 and 2 more"),
    ("ab" * 32, "cd" * 32, "abababababab → cdcdcdcdcdcd"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "told"), VALUES)
def test_two_values_are_told_in_one_line(old: Any, new: Any, told: str) -> None:
    assert diff_words.values(Field("data", "x", old, new)) == told


def test_a_long_text_is_told_by_its_lines_alone() -> None:
    field = Field(
        "persona & prompts", "persona.system", "a\nb", "a\nc", lines=("  a", "- b", "+ c")
    )
    assert diff_words.values(field) == ""


METRICS = [
    (Metric("validation loss", "", 1.5, 1.25, "better"), "1.5000 → 1.2500", ""),
    (
        Metric("median answer", "tokens", 32, 9.5, "better", -20, -25, -15, 24),
        "32 → 9.5 tokens",
        "-20.0 on average, 95 % interval -25.0 to -15.0, 24 prompts",
    ),
    (
        Metric("ended", "share", 0.5, 1.0, "no difference shown", pairs=3),
        "50% → 100%",
        "3 prompts are too few to tell chance from change",
    ),
    (Metric("best step", "", 40, None, "changed"), "40 → unknown", ""),
]


@pytest.mark.parametrize(("metric", "told", "evidence"), METRICS)
def test_a_metric_is_told_with_what_speaks_for_it(metric: Metric, told: str, evidence: str) -> None:
    assert (diff_words.metric(metric), diff_words.evidence(metric)) == (told, evidence)
