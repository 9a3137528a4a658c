"""Each case runs in a process of its own: a library once loaded stays."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mlx.core")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="MLX brings its own BLAS here")

ASK = """
import json, sys
{before}
from jessy_build import blas
used = blas.install()
import mlx.core as mx
import numpy as np
{after}
a = np.arange(12, dtype=np.float32).reshape(3, 4) / 7
b = np.arange(20, dtype=np.float32).reshape(4, 5) / 3
error = float(np.abs(np.array(mx.array(a) @ mx.array(b)) - a @ b).max())
print(json.dumps([used.name, used.how, list(used.skipped), error, used.fast]))
"""


def answered(wish: str | None, before: str = "", after: str = "") -> Any:
    env = {name: value for name, value in os.environ.items() if name != "JESSY_BLAS"}
    env |= {} if wish is None else {"JESSY_BLAS": wish}
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(before=before, after=after)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def openblas() -> Path:
    spec = importlib.util.find_spec("scipy_openblas32")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("scipy-openblas32 is not installed")
    return next(Path(spec.submodule_search_locations[0], "lib").glob("libscipy_openblas*.so"))


@linux_only
def test_an_optimised_blas_is_found_and_computes_right() -> None:
    openblas()
    name, how, _, error, fast = answered(None)
    assert fast and name != "reference"
    assert how == "3 products of libmlx.so point to it"
    assert error < 1e-4


@linux_only
@pytest.mark.parametrize("before", ["", "import mlx.core as early; early.eval(early.ones(3) + 1)"])
def test_a_library_with_prefixed_names_serves_whether_mlx_came_first_or_not(before: str) -> None:
    name, how, skipped, error, _ = answered(str(openblas()), before)
    assert (name, skipped) == ("JESSY_BLAS", [])
    assert how == "3 products of libmlx.so point to it"
    assert error < 1e-4


@linux_only
def test_products_really_go_to_the_library() -> None:
    count = f"""
import ctypes
library = ctypes.CDLL({str(openblas())!r})
target = ctypes.cast(library.scipy_cblas_sgemm, ctypes.c_void_p).value
maps = blas._maps()
mapped = next(m for m in maps if m.path.endswith("/libmlx.so") and m.offset == 0)
slots = blas._slots(blas.Path(mapped.path), mapped.start)
assert ctypes.c_uint64.from_address(slots["cblas_sgemm"]).value == target
"""
    answered(str(openblas()), after=count)


@linux_only
def test_a_wish_that_cannot_be_met_is_passed_over_and_named() -> None:
    _, _, skipped, error, _ = answered("/nowhere/libblas.so")
    assert len(skipped) == 1
    assert "/nowhere/libblas.so" in skipped[0]
    assert error < 1e-4


@linux_only
def test_a_library_without_matrix_products_is_passed_over() -> None:
    _, _, skipped, error, _ = answered("libm.so.6")
    assert skipped == ["JESSY_BLAS: it has no cblas_sgemm"]
    assert error < 1e-4


@linux_only
def test_none_leaves_mlx_as_it_is() -> None:
    assert answered("none") == [
        "reference",
        "JESSY_BLAS=none",
        [],
        pytest.approx(0, abs=1e-4),
        False,
    ]


@linux_only
def test_a_file_that_is_no_library_of_this_machine_is_refused(tmp_path: Path) -> None:
    from jessy_build import blas

    strange = tmp_path / "libmlx.so"
    for content in (b"MZ" + bytes(100), b"\x7fELF\x02\x01" + bytes(100)):
        strange.write_bytes(content)
        with pytest.raises(blas._NotUsable):
            blas._slots(strange, 0)


def test_the_probe_measures_something() -> None:
    from jessy_build import blas

    assert blas.probe(64) > 0
