"""The two real bases of the quickstart, as `convert` makes them."""

from pathlib import Path

GEMMA, SMOLLM2 = "Gemma 3 270M", "SmolLM2 135M"
BASES = (GEMMA, SMOLLM2)


def base(name: str, folder: Path) -> Path:
    """The file is fetched once, and kept in the user's cache."""
    from jessy_build.chat import BUILTIN
    from jessy_build.packaging import gguf_read

    # This repository is installed in place, so its tests are at hand too.
    from tests import real_models

    if name == GEMMA:
        kept = real_models.fetched("gemma", real_models.GEMMA, real_models.GEMMA_SHA256)
        template = BUILTIN["gemma"]
    else:
        kept = real_models.fetched("smollm2", real_models.SMOLLM2, real_models.SMOLLM2_SHA256)
        template = BUILTIN["chatml"]
    gguf_read.convert(kept, folder, chat_template=template)
    return folder
