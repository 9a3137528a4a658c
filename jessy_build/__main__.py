"""`python -m jessy_build` is `jessy`."""

from jessy_build.cli import main

main()
