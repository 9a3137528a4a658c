"""Numbers in words, where rounding must not show 60 seconds or 1000 MB."""

import pytest

from jessy_build import units


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.00s"), (-0.001, "0.00s"), (0.312, "0.31s"), (0.999, "1.0s"), (4.24, "4.2s")),
        *((9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"), (112.4, "1m52s"), (119.6, "2m00s")),
        *((3599.7, "1h00m"), (7500, "2h05m"), (200_000, "55h33m")),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1 kB"), (4210, "4.21 kB"), (99_960, "100 kB")),
        *((999_499, "999 kB"), (999_500, "1 MB"), (270_885_632, "271 MB")),
        *((1_080_000_000, "1.08 GB"), (5 * 10**15, "5000 TB")),
    ],
)
def test_size(count: int, text: str) -> None:
    assert units.size(count) == text


@pytest.mark.parametrize(
    ("count", "text"), [(300, "300"), (134_515_008, "135 M"), (2_614_341_888, "2.61 B")]
)
def test_parameters(count: int, text: str) -> None:
    assert units.parameters(count) == text
