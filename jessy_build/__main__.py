"""`jessy`, and `python -m jessy_build`.

Where a build or a plan has nothing to do, it ends here: not even argparse is imported.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence


def main() -> None:
    if not _nothing_to_do(sys.argv[1:]):
        from jessy_build import cli

        cli.main()


def _nothing_to_do(argv: Sequence[str]) -> bool:
    """Only `build RECIPE` and `plan RECIPE` take the short road; any option takes the full one."""
    if len(argv) != 2 or argv[0] not in ("build", "plan") or sys.stdout is None:
        return False
    from jessy_build import untouched

    began = time.perf_counter()
    lines = untouched.lines(argv[0], argv[1], os.environ)
    if lines is None:
        return False
    took = f" ({time.perf_counter() - began:.2f}s)" if argv[0] == "build" else ""
    text = "\n".join((lines[0] + took, *lines[1:], ""))
    try:
        text.encode(sys.stdout.encoding or "utf-8", sys.stdout.errors or "strict")
        sys.stdout.write(text)
        sys.stdout.flush()
    except (UnicodeEncodeError, OSError):
        # Signs that this terminal cannot show, or nobody reads on: `cli` knows what to do then.
        return False
    return True


if __name__ == "__main__":
    main()
