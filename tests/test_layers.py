"""The shape of the package: imports only go down, files and functions stay short, and names are listed in order."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import cleanfit

ROOT = Path(str(cleanfit.__file__)).parent
FILES = sorted(ROOT.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]

# A module may import from lower layers; within its layer only from its own package or from its relatives below.
LAYERS = {
    "errors": 0,
    "results": 0,
    "seeding": 0,
    "data": 1,
    "demo_data": 1,
    "labels": 1,
    "manifest": 1,
    "models": 1,
    "readers": 1,
    "run_folder": 1,
    "scores": 1,
    "settings": 1,
    "states": 1,
    "writers": 1,
    "attacks": 2,
    "capacity": 3,
    "importers": 3,
    "metrics": 2,
    "report": 2,
    "training": 2,
    "triggered": 2,
    "task": 3,
    "detection": 4,
    "detectors": 4,
    "model_attacks": 4,
    "defenses": 5,
    "audit": 6,
    "fitting": 6,
    "save": 6,
    "demo": 7,
    "evaluate": 7,
    "stealth": 7,
    "vision": 7,
    "trajectory": 7,
    "benchmark": 8,
    "cli": 9,
    "__main__": 10,
}
# Parts of one job that was too long for one file.
RELATIVES = ({"data", "labels", "readers", "writers"}, {"audit", "fitting", "save"})
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 60


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    """The top-level parts of cleanfit that a file imports from, wherever in the file it does."""
    for node in ast.walk(tree(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively, which this test cannot follow"
            module = str(node.module)
            names = [f"cleanfit.{alias.name}" for alias in node.names] if module == "cleanfit" else [module]
        yield from (name.split(".")[1] for name in names if name.startswith("cleanfit."))


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_the_layer_table_names_every_module_and_nothing_else() -> None:
    assert {part_of(path) for path in FILES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("path", [path for path in FILES if path != ROOT / "__init__.py"], ids=str)
def test_a_module_imports_only_from_lower_layers_its_package_or_its_relatives(path: Path) -> None:
    part = part_of(path)
    for other in imported(path):
        is_near = other == part or any({part, other} <= family for family in RELATIVES)
        assert LAYERS[other] < LAYERS[part] or is_near, f"{path.name} (layer {LAYERS[part]}) imports {other}"


def test_the_walk_over_imports_finds_those_inside_functions_too() -> None:
    # Without this the test above could pass by finding nothing.
    assert {"settings", "fitting", "errors"} <= set(imported(ROOT / "cli" / "fit.py"))


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_file_fits_into_four_hundred_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_FILE_LINES


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    for function in functions(path):
        has_docstring = ast.get_docstring(function) is not None
        body = function.body[1:] if has_docstring else function.body
        start = (
            function.body[0].lineno if part_of(path) == "cli" else function.lineno
        )  # a command's options are its help
        n_lines = int(function.end_lineno or 0) - start + 1
        if has_docstring:
            n_lines -= int(function.body[0].end_lineno or 0) - function.body[0].lineno + 1
        assert not body or n_lines < MAX_FUNCTION_LINES, f"{function.name} has {n_lines} lines"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_function_takes_arguments_that_nobody_can_look_up(path: Path) -> None:
    hooks = {"on_epoch_begin", "on_train_begin", "on_step_end", "on_train_end"}  # Trainer calls them with anything
    hooks |= {"attend_with_prefix"}  # and so does transformers
    open_ended = {function.name for function in functions(path) if function.args.kwarg}
    assert open_ended <= hooks


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=str)
def test_a_package_lists_its_names_in_order(path: Path) -> None:
    listed = [
        ast.literal_eval(node.value)
        for node in tree(path).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert len(listed) == 1
    assert listed[0] == sorted(set(listed[0]), key=lambda name: (not name.isupper(), name))


@pytest.mark.parametrize("name", cleanfit.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(cleanfit, name).__name__ == name


def test_an_unknown_name_is_an_ordinary_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cleanfit' has no attribute 'fitt'"):
        _ = cleanfit.fitt  # type: ignore[attr-defined]
