import pytest

from jessy_build.validators import Limits, iterations
from tests.validators.rows import talk

LIMITS = Limits(iterations={"low": (1, 2), "high": (6, 9)})
TABLE = [
    # level, iterations, what is wrong
    ("low", 1, None),
    ("low", 2, None),
    ("low", 3, "the row has 3 iterations, not 1-2 of 'low'"),
    ("high", 5, "the row has 5 iterations, not 6-9 of 'high'"),
    ("high", None, None),
    ("of no level", 100, None),
]


@pytest.mark.parametrize(("level", "own", "wrong"), TABLE)
def test_a_row_keeps_to_the_iterations_of_its_level(
    level: str, own: int | None, wrong: str | None
) -> None:
    row = talk("u: a", "a: b", complexity=level)._replace(iterations=own)
    found = [finding.message for finding in iterations.check([row], LIMITS)]
    assert found == ([wrong] if wrong else [])
