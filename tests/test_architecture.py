"""The arrows between the parts, read from the imports. A wrong one is named."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jessy_build"
LEAVES = {
    *("example", "digest", "diagnostics", "settings", "config"),
    *(
        "chat",
        "blas",
        "units",
        "masking",
        "mlx_model",
        "plain_file",
        "places",
        "apportion",
        "hosts",
        "parted",
        "speech",
        "unneeded",
    ),
}
CAPABILITIES = {
    *("teachers", "validators", "enhancers", "trainers", "packaging"),
    *("runtimes", "evaluators", "bases", "reports", "sources", "parity", "trackers"),
}
MAY_IMPORT = {
    **dict.fromkeys(LEAVES, LEAVES),
    **{capability: LEAVES | {capability} for capability in CAPABILITIES},
    # Rows of other tools become what curated rows are, in the same words where they are wrong.
    "formats": LEAVES | {"teachers", "formats"},
    # Runtimes share the shape of an answer; nothing else of one is known to another.
    "recipe": LEAVES | CAPABILITIES | {"recipe", "formats"},
    "plan": LEAVES | {"plan"},
    "engine": LEAVES | {"plan", "engine"},
    "steps": LEAVES | CAPABILITIES | {"formats", "recipe", "plan", "engine", "steps", "console"},
    "console": LEAVES | {"engine", "reports", "console"},
    # Asks one server whether it still serves a model; nothing else of the packaging.
    "untouched": {"places", "packaging"},
    # A command joins words to steps; what it shows, it shows through the console it is given.
    "commands": {"commands", "diagnostics", "untouched"}
    | {"recipe", "engine", "steps", "reports", "console"},
    # Of the engine: what a refused disk means, and a ledger that is mended before the second try.
    "cli": {"cli", "commands", "console", "diagnostics", "recipe", "engine", "unneeded"},
    "__main__": {"cli", "untouched"},
    "__init__": set(),
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            plain = node.module == "jessy_build"
            names = [f"{node.module}.{a.name}" for a in node.names] if plain else [node.module]
        else:
            continue
        for name in names:
            if name.startswith("jessy_build.") and name != "jessy_build.__version__":
                yield node.lineno, name.split(".")[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_every_import_follows_the_arrows(path: Path) -> None:
    part = part_of(path)
    wrong = [
        f"{path.relative_to(PACKAGE)}:{line}: {part} → {other}"
        for line, other in imported_parts(path)
        if other not in MAY_IMPORT[part]
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_console_prints_and_only_the_command_line_exits() -> None:
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                exits = name in ("sys.exit", "os._exit", "exit") and part_of(path) != "cli"
                # Children are programs of their own: they speak to their parents by lines.
                if path.name in ("_child.py", "fuse.py"):
                    continue
                if exits or (name == "print" and path.name != "console.py"):
                    found.append(f"{path.relative_to(PACKAGE)}:{node.lineno}: {name}()")
    assert not found, "\n".join(found)


BELOW_RULES = ("finding",)
"""Of the validators: rules stand on them, and they on none."""


@pytest.mark.parametrize("name", BELOW_RULES)
def test_what_rules_share_knows_no_rule(name: str) -> None:
    path = PACKAGE / "validators" / f"{name}.py"
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    named = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert [module for module in named if module.startswith("jessy_build.validators")] == []


def test_the_map_names_each_folder_and_each_module_once() -> None:
    lines = (PACKAGE.parent / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| `") and "/` |" in line]
    folders = [line.split("`")[1].rstrip("/") for line in rows]
    assert len(folders) == len(set(folders))
    for folder, line in zip(folders, rows, strict=True):
        modules = [path.stem for path in (PACKAGE / folder).glob("*.py")]
        assert modules, f"{folder}/ is no folder of the package"
        twice = [name for name in modules if line.count(f"`{name}`") > 1]
        assert not twice, f"{folder}/: {twice}"


@pytest.mark.parametrize("name", ["CHANGELOG.md", "ARCHITECTURE.md"])
def test_no_merge_has_left_a_line_twice(name: str) -> None:
    lines = (PACKAGE.parent / name).read_text(encoding="utf-8").splitlines()
    starts = [line[:60] for line in lines if line.startswith("- ")]
    assert [start for start in starts if starts.count(start) > 1] == []
