"""Several members at one batch compute what mlx-lm's own way computes."""

from pathlib import Path
from typing import Any

import pytest

mx: Any = pytest.importorskip("mlx.core")
nn: Any = pytest.importorskip("mlx.nn")
pytest.importorskip("mlx_lm")

from mlx.utils import tree_flatten, tree_unflatten  # noqa: E402

from jessy_build.trainers import _batches, _loss, _model  # noqa: E402
from jessy_build.trainers._rows import Row  # noqa: E402
from jessy_build.trainers._team import Team  # noqa: E402
from jessy_build.trainers.lora import Lora  # noqa: E402

ROWS = [
    Row(
        str(length),
        tuple((7 * length + i) % 390 for i in range(length)),
        (False,) + (True,) * (length - 1),
    )
    for length in (5, 9, 3, 12, 7)
]


@pytest.fixture
def model(tiny_model: Path) -> Any:
    learner = _model.learner(tiny_model, Lora(), seed=3)
    # A fresh adapter has zeros, which would hide wrong gradients.
    named = tree_flatten(learner.model.trainable_parameters())
    some = [(name, mx.random.normal(value.shape) * 0.05) for name, value in named]
    learner.model.update(tree_unflatten(some))
    mx.eval(learner.model.parameters())
    return learner.model


def parts(count: int) -> Any:
    return _batches.as_arrays([_batches.pack(ROWS[i::count], "token", 0.1) for i in range(count)])


def stock(model: Any) -> Any:
    """Logits everywhere, MLX's cross entropy, MLX's gradients."""
    loss = nn.value_and_grad(model, lambda m, p, count: _loss.alone(None, m, p, count))
    return loss(model, *parts(1))


@pytest.mark.parametrize("members", [1, 2, 4])
def test_loss_and_gradients_are_those_of_mlx(model: Any, members: int) -> None:
    (value, _), slopes = stock(model)
    team = Team(model, _loss.cut(model), members)
    (mine, count), own = nn.value_and_grad(model, team.training)(model, *parts(members))
    assert int(count) == sum(row.supervised for row in ROWS)
    assert float(mine) == pytest.approx(float(value), rel=1e-5)
    real, ours = dict(tree_flatten(slopes)), dict(tree_flatten(own))
    assert real.keys() == ours.keys()
    for name in real:
        assert mx.allclose(ours[name], real[name], rtol=1e-3, atol=1e-5).item(), name
    assert float(team.asking(model, *parts(members))[0]) == pytest.approx(float(value), rel=1e-5)


def test_a_model_that_cannot_be_cut_is_trained_on_all_its_logits(model: Any) -> None:
    (value, _), slopes = stock(model)
    (mine, _), own = nn.value_and_grad(model, Team(model, None, 2).training)(model, *parts(2))
    assert float(mine) == pytest.approx(float(value), rel=1e-5)
    for name, slope in tree_flatten(own):
        assert mx.allclose(slope, dict(tree_flatten(slopes))[name], rtol=1e-3, atol=1e-5).item()


def test_a_model_that_scales_its_logits_is_not_cut(model: Any) -> None:
    assert _loss.cut(model) is not None
    plain = type(model)
    model.__class__ = type(
        "Scaled", (plain,), {"__call__": lambda self, tokens: 2 * plain.__call__(self, tokens)}
    )
    assert _loss.cut(model) is None


def test_the_same_batch_gives_the_same_bits_each_time(model: Any) -> None:
    team = Team(model, _loss.cut(model), 2)
    found = []
    for _ in range(5):
        (_, _), slopes = nn.value_and_grad(model, team.training)(model, *parts(2))
        found.append(b"".join(bytes(memoryview(slope)) for _, slope in tree_flatten(slopes)))
    assert len(set(found)) == 1


def test_a_member_that_fails_does_not_leave_the_others_waiting(model: Any) -> None:
    team = Team(model, _loss.cut(model), 2)
    (inputs, places, targets, _), good = parts(2)[0]
    broken = (inputs, places, targets[:1], mx.ones(99)), good
    with pytest.raises(ValueError, match="shape"):
        nn.value_and_grad(model, team.training)(model, broken, mx.array(1))
