"""Several members at one batch compute what mlx-lm's own way computes."""

from collections.abc import Callable, Iterator
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
from jessy_build.trainers.config import Config, Lora  # noqa: E402

ROWS = [
    Row(
        str(length),
        tuple((7 * length + i) % 390 for i in range(length)),
        (False,) + (True,) * (length - 1),
    )
    for length in (5, 9, 3, 12, 7)
]


@pytest.fixture
def form() -> Iterator[Callable[..., Team]]:
    teams: list[Team] = []

    def made(model: Any, head: Any, members: int) -> Team:
        teams.append(Team(model, head, members))
        return teams[-1]

    yield made
    for team in teams:
        team.close()


@pytest.fixture
def model(tiny_model: Path) -> Any:
    learner = _model.learner(tiny_model, Config(seed=3))
    learner.close()
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
def test_loss_and_gradients_are_those_of_mlx(
    form: Callable[..., Team], model: Any, members: int
) -> None:
    (value, _), slopes = stock(model)
    team = form(model, _loss.cut(model), members)
    (mine, count), own = nn.value_and_grad(model, team.training)(model, *parts(members))
    assert int(count) == sum(row.supervised for row in ROWS)
    assert float(mine) == pytest.approx(float(value), rel=1e-5)
    real, ours = dict(tree_flatten(slopes)), dict(tree_flatten(own))
    assert real.keys() == ours.keys()
    for name in real:
        assert mx.allclose(ours[name], real[name], rtol=1e-3, atol=1e-5).item(), name
    assert float(team.asking(model, *parts(members))[0]) == pytest.approx(float(value), rel=1e-5)


def test_a_model_that_cannot_be_cut_is_trained_on_all_its_logits(
    form: Callable[..., Team], model: Any
) -> None:
    (value, _), slopes = stock(model)
    (mine, _), own = nn.value_and_grad(model, form(model, None, 2).training)(model, *parts(2))
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


def test_the_same_batch_gives_the_same_bits_each_time(
    form: Callable[..., Team], model: Any
) -> None:
    team = form(model, _loss.cut(model), 2)
    found = []
    for _ in range(5):
        (_, _), slopes = nn.value_and_grad(model, team.training)(model, *parts(2))
        found.append(b"".join(bytes(memoryview(slope)) for _, slope in tree_flatten(slopes)))
    assert len(set(found)) == 1


def test_a_member_that_fails_does_not_leave_the_others_waiting(
    form: Callable[..., Team], model: Any
) -> None:
    team = form(model, _loss.cut(model), 2)
    (inputs, places, targets, _), good = parts(2)[0]
    broken = (inputs, places, targets[:1], mx.ones(99)), good
    with pytest.raises(ValueError, match="shape"):
        nn.value_and_grad(model, team.training)(model, broken, mx.array(1))


def test_dropout_is_for_learning_only_and_follows_the_random_state(
    form: Callable[..., Team], tiny_model: Path
) -> None:
    learner = _model.learner(tiny_model, Config(lora=Lora(dropout=0.5), seed=3))
    learner.close()
    model = learner.model
    named = tree_flatten(model.trainable_parameters())
    model.update(tree_unflatten([(n, mx.random.normal(v.shape) * 0.2) for n, v in named]))
    mx.eval(model.parameters())
    team = form(model, _loss.cut(model), 2)

    def learned(seed: int) -> float:
        mx.random.seed(seed)
        return float(nn.value_and_grad(model, team.training)(model, *parts(2))[0][0])

    assert learned(1) == learned(1) != learned(2)
    asked = {float(team.asking(model, *parts(2))[0]) for _ in range(3)}
    assert len(asked) == 1 and asked.isdisjoint({learned(1)})
