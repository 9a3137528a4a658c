"""How many MB an installation takes: the core, with MLX, and the BLAS beside it. No torch."""

import subprocess
import tempfile
from pathlib import Path

from run import HERE, keep

PROJECT = HERE.parent


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="jessy-bench-") as folder:
        core = _install(Path(folder) / "core", ".")
        full = _install(Path(folder) / "full", ".[mlx]")
        blas = _megabytes(next(full.glob("lib/python*/site-packages/scipy_openblas32"), None))
        torch = any(full.glob("lib/python*/site-packages/torch"))
        keep(
            "install",
            {
                "core_mb": round(_megabytes(core)),
                "with_mlx_mb": round(_megabytes(full) - blas),
                "blas_mb": round(blas),
                "torch": torch,
            },
        )


def _install(venv: Path, what: str) -> Path:
    subprocess.run(["uv", "venv", "-q", venv], check=True)
    lock = ["-c", "requirements.txt"]
    command = ["uv", "pip", "install", "-q", "--python", venv, *lock, what]
    subprocess.run(command, cwd=PROJECT, check=True)
    return venv


def _megabytes(folder: Path | None) -> float:
    if folder is None:
        return 0.0
    return sum(p.stat().st_size for p in folder.rglob("*") if not p.is_symlink()) / 1e6


if __name__ == "__main__":
    main()
