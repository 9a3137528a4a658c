"""Several cores at one batch. MLX gives a CPU one thread; here each core takes some of the rows.

Every member has the model's structure for itself and shares its weights. The head of the model is
worked on by all members together, each with its stretch of the vocabulary.
"""

import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

from jessy_build.trainers import _entropy, _loss
from jessy_build.trainers._gradient import with_gradient
from jessy_build.trainers._loss import Head, Part


class Team:
    def __init__(self, model: Any, head: Head | None, members: int) -> None:
        self.head = head
        self.size = members
        self.members = [_same(model) for _ in range(members)]
        # One thread each: an MLX stream belongs to the thread that made it.
        self.threads = [ThreadPoolExecutor(1) for _ in range(members)]
        self.clerks = [ThreadPoolExecutor(1) for _ in range(members)]
        """For the head: the members' own threads wait meanwhile."""

    def close(self) -> None:
        """A thread that still holds a stream when the interpreter ends may abort the process."""
        import mlx.core as mx

        for thread in self.threads:
            thread.submit(mx.clear_streams).result()
        for thread in [*self.threads, *self.clerks]:
            thread.shutdown()

    def training(self, model: Any, parts: Sequence[Part], count: Any) -> tuple[Any, Any]:
        """A loss for mlx-lm's loop that brings its own gradient."""
        import mlx.core as mx
        from mlx.utils import tree_flatten

        named = tree_flatten(model.trainable_parameters())
        names = [name for name, _ in named]

        def forward(*values: Any) -> list[Any]:
            # Each thread has random numbers of its own; drawn from here, they survive a resume.
            noise = int(mx.random.randint(0, 1 << 30))
            plain = dict(zip(names, _copies(values), strict=True))
            return self._together(_copies(parts), plain, noise)

        def backward(_: Any, cotangents: Any, outputs: Any) -> list[Any]:
            return [cotangents[0] * slope for slope in outputs[1:]]

        loss = with_gradient(forward, backward)(*(value for _, value in named))[0]
        return loss, count

    def asking(self, model: Any, parts: Sequence[Part], count: Any) -> tuple[Any, Any]:
        """The same number without a gradient."""
        from mlx.utils import tree_flatten

        values = dict(tree_flatten(model.trainable_parameters()))
        return self._together(parts, values, None)[0], count

    def _together(
        self, parts: Sequence[Part], values: dict[str, Any], noise: int | None
    ) -> list[Any]:
        """The loss; with `noise`, also the slope of each value, in the order of `values`."""
        import mlx.core as mx

        meeting = _Meeting(len(parts), noise is not None, self.clerks)
        work = partial(self._one, meeting, values, noise)
        waiting = [
            thread.submit(work, place, member, part)
            for place, (thread, member, part) in enumerate(
                zip(self.threads, self.members, parts, strict=False)
            )
        ]
        wait(waiting)
        # Who waited for one that failed has a follow-up problem only.
        failed = [problem for one in waiting if (problem := one.exception())]
        if failed:
            first = [p for p in failed if not isinstance(p, threading.BrokenBarrierError)]
            raise (first or failed)[0]
        found = [one.result() for one in waiting]
        summed = [sum(column[1:], column[0]) for column in zip(*found, strict=True)]
        mx.eval(summed)
        return summed

    def _one(
        self,
        meeting: "_Meeting",
        values: dict[str, Any],
        noise: int | None,
        place: int,
        member: Any,
        part: Part,
    ) -> list[Any]:
        import mlx.core as mx
        import mlx.nn as nn
        from mlx.utils import tree_flatten, tree_unflatten

        try:
            member.update(tree_unflatten(list(values.items())))
            member.train(noise is not None)
            loss = self._loss_of(meeting, place)
            if noise is None:
                found = [loss(member, part)]
            else:
                mx.random.seed(noise + place)
                value, slopes = nn.value_and_grad(member, loss)(member, part)
                named = dict(tree_flatten(slopes))
                found = [value, *(named[name] for name in values)]
            mx.eval(found)
            return found
        except BaseException:
            meeting.barrier.abort()
            raise

    def _loss_of(self, meeting: "_Meeting", place: int) -> Callable[[Any, Part], Any]:
        head = self.head
        if head is None or head.matrix is None:
            return partial(_loss.plain, head)

        def loss(member: Any, part: Part) -> Any:
            inputs, places, targets, weights = part
            states = _loss.hidden(head, member, inputs, places)
            return meeting.attend(place, states, head.matrix, targets, weights)

        return loss


class _Meeting:
    """Members bring their hidden states, and each leaves with its own loss and gradient."""

    def __init__(self, members: int, gradient: bool, clerks: Sequence[ThreadPoolExecutor]) -> None:
        self.barrier = threading.Barrier(members, action=self._work)
        self.gradient = gradient
        self.clerks = clerks
        self.matrix: Any = None
        self.brought: list[Any] = [None] * members
        self.results: list[tuple[float, Any]] = []

    def attend(self, place: int, states: Any, matrix: Any, targets: Any, weights: Any) -> Any:
        import mlx.core as mx
        import numpy as np

        self.matrix = matrix
        asked = np.asarray(targets), np.asarray(weights)

        def forward(states: Any) -> tuple[Any, Any]:
            mx.eval(states)
            self.brought[place] = (np.asarray(states), *asked)
            self.barrier.wait()
            loss, slope = self.results[place]
            return mx.array(loss, mx.float32), mx.array(slope)

        def backward(_: Any, cotangents: Any, outputs: Any) -> Any:
            # The gradient came with the loss; what stands behind the loss only scales it.
            return cotangents[0] * outputs[1]

        return with_gradient(forward, backward)(states)[0]

    def _work(self) -> None:
        """Done by the member that comes last, for all of them."""
        import numpy as np

        states, targets, weights = (
            np.concatenate(column) for column in zip(*self.brought, strict=True)
        )
        loss, slope = _entropy.entropy(
            states, np.asarray(self.matrix), targets, weights, self.gradient, self.clerks
        )
        ends = np.cumsum([len(brought[0]) for brought in self.brought])[:-1]
        self.results = [
            (float(part.sum()), slopes)
            for part, slopes in zip(np.split(loss, ends), np.split(slope, ends), strict=True)
        ]


def _copies(tree: Any) -> Any:
    """Arrays that no graph holds: those of another thread's graph cannot be used in this one."""
    import mlx.core as mx
    import numpy as np
    from mlx.utils import tree_map

    return tree_map(lambda array: mx.array(np.asarray(array)), tree)


def _same(model: Any) -> Any:
    """The same structure around the same arrays."""
    from mlx.utils import tree_flatten

    kept = {id(array): array for _, array in tree_flatten(model.parameters())}
    return copy.deepcopy(model, kept)
