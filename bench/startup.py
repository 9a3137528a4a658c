"""How long the commands take that ask neither network nor model nor store."""

import sys

import project
from run import keep
from timing import JESSY, Command, figures, in_turn, show


def main() -> None:
    here, recipe = project.REPOSITORY, project.RECIPE
    commands = {
        "python_alone": Command([sys.executable, "-c", "pass"], here),
        "python_yaml_pydantic": Command([sys.executable, "-c", project.FLOOR], here),
        "version": Command([JESSY, "--version"], here, said="jessy-build"),
        "help": Command([JESSY, "--help"], here, said="usage: jessy"),
        "check": Command([JESSY, "check", recipe], here, said="no problems"),
        "schema": Command([JESSY, "schema"], here, said="jessy-build recipe"),
    }
    taken = in_turn(commands)
    show("start-up", taken, "python_yaml_pydantic")
    keep("startup", {"seconds": figures(taken)})


if __name__ == "__main__":
    main()
