"""The ways in which a model folder may differ and still give the same GGUF."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jessy_build.diagnostics import StepError
from jessy_build.packaging import gguf_write
from jessy_build.packaging.gguf_file import open_gguf
from tests.packaging.random_models import CONFIGS, make_random_model

Change = Callable[[Path], None]


def written(folder: Path, **options: Any) -> bytes:
    out = folder.parent / "out.gguf"
    gguf_write.write(folder, out, name="x", **options)
    return out.read_bytes()


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text("utf-8")))))


def shard(folder: Path) -> None:
    """Two files and an index, as large models come."""
    import mlx.core as mx

    weights = sorted(dict(mx.load(str(folder / "model.safetensors"))).items())
    (folder / "model.safetensors").unlink()
    names = {}
    for number, part in enumerate((weights[:5], weights[5:]), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        mx.save_safetensors(str(folder / file), dict(part))
        names |= {name: file for name, _ in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))


def gather_rope(folder: Path) -> None:
    """transformers 5 writes one entry for all that concerns rotation."""

    def change(config: dict[str, Any]) -> dict[str, Any]:
        theta, scaling = config.pop("rope_theta"), config.pop("rope_scaling", {})
        return config | {"rope_parameters": {"rope_theta": theta, **scaling}}

    rewrite(folder / "config.json", change)


def gather_gemma_rope(folder: Path) -> None:
    def change(config: dict[str, Any]) -> dict[str, Any]:
        full, local = config.pop("rope_theta"), config.pop("rope_local_base_freq")
        config.pop("sliding_window_pattern")
        kinds = ["full_attention" if n % 6 == 5 else "sliding_attention" for n in range(8)]
        parameters = {
            "full_attention": {"rope_type": "default", "rope_theta": full},
            "sliding_attention": {"rope_type": "default", "rope_theta": local},
        }
        return config | {"rope_parameters": parameters, "layer_types": kinds}

    rewrite(folder / "config.json", change)


def template_in_settings(folder: Path) -> None:
    """Older models keep the template in tokenizer_config.json."""
    template = (folder / "chat_template.jinja").read_text("utf-8")
    (folder / "chat_template.jinja").unlink()
    rewrite(folder / "tokenizer_config.json", lambda c: c | {"chat_template": template})


def merges_as_text(folder: Path) -> None:
    def change(tokenizer: dict[str, Any]) -> dict[str, Any]:
        merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
        return tokenizer | {"model": tokenizer["model"] | {"merges": merges}}

    rewrite(folder / "tokenizer.json", change)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="a second file system is wanted")
def test_the_same_bytes_come_out_on_another_file_system(tmp_path: Path) -> None:
    """There the kernel copies no weights from file to file."""
    folder = make_random_model(tmp_path / "model", "gemma3")
    here = written(folder, kind="f32")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        out = Path(elsewhere) / "out.gguf"
        gguf_write.write(folder, out, kind="f32", name="x")
        assert out.read_bytes() == here


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("llama", shard),
        ("llama", merges_as_text),
        ("llama", template_in_settings),
        ("llama-3.2", gather_rope),
        ("qwen3", gather_rope),
        ("gemma3", gather_gemma_rope),
        ("gemma3", shard),
    ],
)
def test_another_notation_gives_the_same_bytes(family: str, change: Change, tmp_path: Path) -> None:
    folder = make_random_model(tmp_path / "model", family)
    before = written(folder)
    change(folder)
    assert written(folder) == before


def test_slowed_rotations_are_in_the_file(tmp_path: Path) -> None:
    folder = make_random_model(tmp_path / "model", "llama-3.2")
    written(folder)
    gguf = open_gguf(tmp_path / "out.gguf")
    factors = gguf.whole(gguf.tensors["rope_freqs.weight"])
    assert factors[0] == 1 and factors[-1] == CONFIGS["llama-3.2"]["rope_scaling"]["factor"]


def test_an_index_may_not_name_files_elsewhere(tmp_path: Path) -> None:
    folder = make_random_model(tmp_path / "model", "llama")
    (folder / "model.safetensors").rename(tmp_path / "other.safetensors")
    index = {"weight_map": {"model.norm.weight": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(StepError, match="outside its own folder"):
        written(folder)


def test_progress_ends_with_all_bytes(tmp_path: Path) -> None:
    folder = make_random_model(tmp_path / "model", "llama")
    told: list[tuple[int, int]] = []
    written(folder, progress=lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] > 0
    assert len({total for _, total in told}) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"query_pre_attn_scalar": 168}, "scales attention by 168"),
        ({"sliding_window_pattern": 2}, "mixes local and global layers"),
        ({"rope_local_base_freq": 20_000.0}, "local rope base of 20000"),
    ],
)
def test_a_gemma_that_no_runtime_computes_is_refused(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    folder = make_random_model(tmp_path / "model", "gemma3")
    rewrite(folder / "config.json", lambda config: config | change)
    with pytest.raises(StepError, match=problem):
        written(folder)
