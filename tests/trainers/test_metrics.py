"""Lines of a curve, from what a training remembers."""

import json
import math
from pathlib import Path

import pytest

from jessy_build.trainers import metrics

CURVE = [{"step": 1, "loss": 2.0, "epoch": 0.5}, {"step": 2, "loss": 1.5, "epoch": 1.0}]
LOOKS = [{"step": 0, "epoch": 0.0, "loss": 3.0}, {"step": 1, "epoch": 0.5, "loss": 2.5}]


def test_lines_stand_in_the_order_in_which_they_came_about() -> None:
    lines = [json.loads(line) for line in metrics.text(CURVE, LOOKS).splitlines()]
    told = [(line["step"], "valid_loss" in line) for line in lines]
    assert told == [(0, True), (1, False), (1, True), (2, False)]
    assert lines[2] == {"step": 1, "epoch": 0.5, "valid_loss": 2.5}


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_still_json(loss: float) -> None:
    assert metrics.report({"step": 3, "loss": loss}) == '{"step": 3, "loss": null}\n'


def test_what_a_former_child_still_says_goes_nowhere(tmp_path: Path) -> None:
    former = metrics.begin(tmp_path, "")
    now = metrics.begin(tmp_path, "first\n")
    former.write("of a killed build\n")
    now.write("second\n")
    assert (tmp_path / metrics.NAME).read_text() == "first\nsecond\n"
