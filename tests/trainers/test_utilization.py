"""How busy a GPU is: what NVIDIA's library is asked, by a library with the same functions."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# As nvml.h declares them. No card was at hand: only the calls are proved here.
LIBRARY = """
typedef struct { unsigned int gpu, memory; } rates;
static int card;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = CARDS; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **handle) {
  *handle = &card; return index != 0;
}
int nvmlDeviceGetUtilizationRates(void *handle, rates *said) {
  said->gpu = 87; said->memory = 12; return handle == &card ? ANSWER : 1;
}
"""
ASK = "from jessy_build.trainers import _utilization as u; print(u.percent(), u.percent())"


def said(**env: str) -> str:
    words = [sys.executable, "-c", ASK]
    return subprocess.run(words, env={**os.environ, **env}, capture_output=True, text=True).stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
@pytest.mark.parametrize(
    ("cards", "answer", "percent"), [(1, 0, "87 87"), (2, 0, "None None"), (1, 3, "None None")]
)
def test_one_card_is_asked(tmp_path: Path, cards: int, answer: int, percent: str) -> None:
    (tmp_path / "nvml.c").write_text(LIBRARY)
    flags = [f"-DCARDS={cards}", f"-DANSWER={answer}", "-shared", "-fPIC"]
    library = tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["cc", *flags, str(tmp_path / "nvml.c"), "-o", str(library)], check=True)
    assert said(LD_LIBRARY_PATH=str(tmp_path)).strip() == percent


def test_without_a_driver_nobody_says(tmp_path: Path) -> None:
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    assert said(LD_LIBRARY_PATH=str(tmp_path)).strip() == "None None"
