from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")
nn: Any = pytest.importorskip("mlx.nn")

from jessy_build.trainers import _optimizer  # noqa: E402
from jessy_build.trainers._course import Stretch  # noqa: E402
from jessy_build.trainers.config import Optimizer  # noqa: E402


def rates(updates: int, **settings: Any) -> list[float]:
    rate = _optimizer.rate(Optimizer(learning_rate=1.0, **settings), [Stretch(0, updates, 1.0)])
    return [float(rate(mx.array(step))) for step in range(updates)]


def test_the_rate_climbs_in_the_warm_up_and_never_stands_at_zero() -> None:
    climbing = rates(10, warmup_steps=4)
    assert climbing[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(rate > 0 for rate in climbing)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_the_rate_falls_by_its_schedule(schedule: str, expected: list[float]) -> None:
    assert rates(4, schedule=schedule) == pytest.approx(expected, rel=1e-5)


def test_a_warm_up_longer_than_the_training_is_cut() -> None:
    assert rates(3, warmup_steps=100) == pytest.approx([0.25, 0.5, 0.75])


def test_each_phase_has_a_warm_up_and_a_fall_of_its_own() -> None:
    settings = Optimizer(schedule="linear", warmup_steps=1)
    rate = _optimizer.rate(settings, [Stretch(0, 3, 1.0), Stretch(3, 5, 0.4)])
    found = [float(rate(mx.array(step))) for step in range(8)]
    assert found == pytest.approx([0.5, 1.0, 0.5, 0.2, 0.4, 0.3, 0.2, 0.1])


def moved(gradient: float, **settings: Any) -> float:
    """How far one update takes a weight of 1."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight = mx.ones((1, 1))
    settings = {"learning_rate": 0.1, "schedule": "constant", **settings}
    optimizer = _optimizer.make(Optimizer(**settings), [Stretch(0, 10, settings["learning_rate"])])
    optimizer.update(layer, {"weight": mx.full((1, 1), gradient)})
    return 1 - float(layer.weight[0, 0])


@pytest.mark.parametrize("gradient", [0.01, 5.0])
def test_the_first_update_has_the_length_of_the_learning_rate(gradient: float) -> None:
    # Without bias correction it would be about three times as long.
    assert moved(gradient) == pytest.approx(0.1, rel=1e-3)


def test_weight_decay_pulls_towards_zero() -> None:
    assert moved(0.0, weight_decay=0.5) == pytest.approx(0.05, rel=1e-3)


def test_long_gradients_are_cut_and_short_ones_are_not() -> None:
    seen = []
    for limit, gradient in ((1.0, 30.0), (1.0, 0.5), (0.0, 30.0)):
        layer = nn.Linear(1, 1, bias=False)
        optimizer = _optimizer.make(Optimizer(max_grad_norm=limit), [Stretch(0, 10, 1e-4)])
        optimizer.update(layer, {"weight": mx.full((1, 1), gradient)})
        seen.append(float(optimizer.state["weight"]["m"].max()) / 0.1)
    assert seen == pytest.approx([1.0, 0.5, 30.0], rel=1e-3)
