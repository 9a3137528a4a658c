"""Several processes that train one adapter: who reads which rows, and what all of them agree on.

mlx-lm averages their gradients, so all make the same updates. Whatever ends a training or chooses
its result is decided by numbers that are the same everywhere, or one would wait for ever.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from jessy_build import blas
from jessy_build.diagnostics import StepError
from jessy_build.hosts import HERE

LOST = "[ring] connection to a peer was lost"
"""How MLX says that another process has ended."""

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Ranks:
    hosts: tuple[str, ...] = (HERE,)
    """Where each process runs, by rank."""
    rank: int = 0
    """Of this process. Rank 0 alone writes and speaks."""

    @property
    def size(self) -> int:
        return len(self.hosts)

    @property
    def leads(self) -> bool:
        return self.rank == 0

    @property
    def here(self) -> bool:
        """Whether it runs beside its parent."""
        return self.hosts[self.rank] == HERE

    @property
    def beside(self) -> int:
        """Processes on its machine."""
        return self.hosts.count(self.hosts[self.rank])

    def cut(self, rows: Sequence[Row]) -> list[list[Row]]:
        """The rows of each rank, which may be none."""
        return [list(rows[rank :: self.size]) for rank in range(self.size)]

    def total(self, mine: float) -> float:
        """The same sum in all of them, to the last bit."""
        return math.fsum(self._numbers(mine)) if self.size > 1 else mine

    def first(self, mine: float) -> float:
        """The number of rank 0."""
        return self._numbers(mine)[0] if self.size > 1 else mine

    def agree(self, what: str, mine: str) -> None:
        """StepError where another one means something else."""
        if self.size == 1:
            return
        said = self._gathered(hashlib.sha256(mine.encode()).digest())
        other = next((rank for rank, digest in enumerate(said) if digest != said[0]), None)
        if other is not None:
            raise StepError(
                f"{named(other, self.hosts)} has another {what} than {named(0, self.hosts)}",
                hint="all machines need the same jessy-build, and one store that all of them see"
                " at the same path",
            )

    def stir(self, seed: int, place: int) -> None:
        """Dropout of its own for each rank, and the same again after a resume."""
        import mlx.core as mx

        if self.size > 1:
            noise = hashlib.sha256(f"{seed}/{place}/{self.rank}".encode()).digest()
            mx.random.seed(int.from_bytes(noise[:8], "little"))

    def _numbers(self, mine: float) -> list[float]:
        return [struct.unpack("d", said)[0] for said in self._gathered(struct.pack("d", mine))]

    def _gathered(self, mine: bytes) -> list[bytes]:
        """As bytes, since MLX would round numbers to float32."""
        import mlx.core as mx

        said: Any = mx.distributed.all_gather(mx.array(list(mine), mx.uint8), stream=mx.cpu)
        told = bytes(said.tolist())
        return [told[at : at + len(mine)] for at in range(0, len(told), len(mine))]


ALONE = Ranks()


def named(rank: int, hosts: Sequence[str]) -> str:
    return f"process {rank + 1} of {len(hosts)} on {hosts[rank]}"


def join(hosts: Sequence[str]) -> Ranks:
    """Waits until all of them are there."""
    blas.install()
    import mlx.core as mx

    group = mx.distributed.init(strict=True, backend="ring")
    if group.size() != len(hosts):
        raise StepError(f"{group.size()} processes train together, {len(hosts)} were asked for")
    return Ranks(tuple(hosts), group.rank())
