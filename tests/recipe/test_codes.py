"""No error code without an example, and none that the documentation does not know."""

import subprocess
import sys

import pytest

from jessy_build.diagnostics import CODES
from tests.recipe import errors_page

TOLD = sorted(code for code in CODES if code.startswith(("R", "D")))


@pytest.mark.parametrize("code", TOLD)
def test_each_code_has_a_case(code: str) -> None:
    assert code in errors_page.examples()


def test_the_page_of_errors_is_current() -> None:
    # A process of its own: other tests may have loaded parts with codes of their own.
    run = "from tests.recipe import errors_page; print(errors_page.page(), end='')"
    made = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True, check=True)
    assert errors_page.PAGE.read_text(encoding="utf-8") == made.stdout, (
        "run: python -m tests.recipe.errors_page"
    )
