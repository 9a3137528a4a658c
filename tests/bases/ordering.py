"""What every test of a base needs: a quiet machine, and one short way to fetch."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jessy_build import bases, settings
from jessy_build.bases.order import Fetched

GGUF = b"GGUF" + bytes(range(256)) * 8


@dataclass
class Ordering:
    """One recipe's folder, one output folder, and all progress that was reported."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] = lambda: False
    progress: list[tuple[int, int | None, str]] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.root / "out"

    def fetch(
        self, text: str, *, revision: str | None = None, sha256: str | None = None
    ) -> Fetched:
        return bases.fetch(
            bases.parse(text),
            revision=revision,
            sha256=sha256,
            origin_dir=self.root,
            out=self.out,
            settings=settings.load(self.root / "recipe.yaml", self.env),
            progress=lambda *said: self.progress.append(said),
            cancelled=self.cancelled,
        )

    def left(self) -> list[str]:
        return sorted(p.relative_to(self.out).as_posix() for p in self.out.rglob("*"))
