"""doctor: what this machine has, and what it lacks."""

import argparse
import os
from typing import TYPE_CHECKING

from jessy_build.commands import FAILED, OK

if TYPE_CHECKING:
    from jessy_build.console import Console

HELP = "check this machine, and say what to install"
EXAMPLE = "jessy doctor"


def options(sub: argparse.ArgumentParser) -> None:
    """None but --json."""


def run(args: argparse.Namespace, console: "Console") -> int:
    from jessy_build.steps import health

    findings = health.findings(os.environ)
    if args.json:
        console.json_document(health.document(findings))
    for line in health.lines(findings):
        console.line(line)
    return OK if all(finding.ok or not finding.needed for finding in findings) else FAILED
