"""What a test cannot do without: skipped where it is missing, failed where CI promises it."""

import os
from typing import NoReturn

import pytest


def missing(what: str, reason: str) -> NoReturn:
    """JESSY_TEST_REQUIRE=ollama,chromium names what must be there on this machine."""
    if what in os.environ.get("JESSY_TEST_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required here: {reason}")
    pytest.skip(reason)
