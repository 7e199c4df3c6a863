"""A benchmark's grid: a YAML file of data sets, models, attacks, rates, defenses and seeds, resolved into cells."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import Attack, PoisonPlan
from cleanfit.benchmark.cell import Cell, Contender, DataFiles
from cleanfit.benchmark.summary import ORACLE, PLAIN
from cleanfit.data import Columns
from cleanfit.defenses import DEFENSES
from cleanfit.defenses.plain import PlainFineTuning
from cleanfit.errors import DataError, SettingsError
from cleanfit.manifest import file_sha256
from cleanfit.models import DEFAULT_MODEL
from cleanfit.settings import ALIASES, TrainingSettings, configure, load_yaml, lookup, merge

Number = TypeVar("Number", int, float)
FILE_ROLES = ("train", "test", "trusted")
DATA_KEYS = (*FILE_ROLES, "target", "text_column", "text_pair_column", "label_column", "pools")
AXES = ("data", "models", "attacks", "label_modes", "rates", "defenses", "seeds")
GRID_KEYS = (*AXES, "rows", "test_rows", "settings", "skip")


@dataclass(frozen=True)
class Grid:
    """A grid as read: every combination is a cell, but for those that are skipped.

    Args:
        data: the data sets.
        models: folders or hub names.
        attacks: label -> attack.
        label_modes: of the attacks.
        rates: shares of all rows that are poisoned, in (0, 1]; rate 0, a control, is always there.
        contenders: the defenses, and the controls that are always there.
        seeds: any integers.
        settings: of all trainings; each cell has its own seed.
        rows: training rows that are kept, the same for every cell; None = all.
        test_rows: the same for the test rows.
        skip: combinations that there are not: axis -> values; a cell that fits all axes of one is left out.
    """

    data: tuple[DataFiles, ...]
    models: tuple[str, ...]
    attacks: Mapping[str, Attack]
    label_modes: tuple[str, ...]
    rates: tuple[float, ...]
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    settings: TrainingSettings
    rows: int | None = None
    test_rows: int | None = None
    skip: tuple[Mapping[str, tuple[str, ...]], ...] = field(default=())

    def cells(self) -> list[Cell]:
        """List the cells, those of one data set, model and seed together; their plain runs and oracles come first.

        Other cells go on from these trainings: at work beside them they would have to wait.
        """
        found: dict[str, Cell] = {}
        for data, model, seed in itertools.product(self.data, self.models, self.seeds):
            block = [cell for cell in self._block(data, model, seed) if not any(fits(cell, each) for each in self.skip)]
            for cell in sorted(block, key=lambda cell: cell.contender.name not in (PLAIN, ORACLE)):
                found.setdefault(cell.name, cell)
        return list(found.values())

    def _block(self, data: DataFiles, model: str, seed: int) -> Iterator[Cell]:
        settings = dataclasses.replace(self.settings, seed=seed)
        for name, plan in ((None, None), *self._attacks(data, seed)):
            attack = None if name is None else self.attacks[name]
            for contender in self._contenders(data, name):
                yield Cell(data, model, name, attack, plan, contender, settings, self.rows, self.test_rows)

    def _attacks(self, data: DataFiles, seed: int) -> Iterator[tuple[str, PoisonPlan]]:
        for attack, mode, rate in itertools.product(self.attacks, self.label_modes, self.rates):
            yield attack, PoisonPlan(data.target, rate, mode, seed)  # type: ignore[arg-type]

    def _contenders(self, data: DataFiles, attack: str | None) -> Iterator[Contender]:
        for contender in self.contenders:
            has_files = data.trusted is not None or not contender.is_trusted
            # Without poison the oracle is plain fine-tuning.
            if has_files and not (contender.is_oracle and attack is None):
                yield contender


def read_grid(path: Path, folder: Path | None) -> Grid:
    """Read and check a grid.

    Args:
        path: the YAML file; docs/how_to/run_a_benchmark.md describes its keys.
        folder: where the data sets lie; what is not there, or None, lies beside the grid.

    Returns:
        The grid, with every attack, defense and setting resolved.

    Raises:
        DataError: a data file is missing.
        SettingsError: the file is not usable, or names something that there is not.
    """
    given = merge(GRID_KEYS, load_yaml(path))
    for needed in ("data", "attacks", "defenses"):
        if not isinstance(given.get(needed), Mapping) or not given[needed]:
            raise SettingsError(f"'{path}' has no block '{needed}'; expected 'name: ...' lines below it.")
    rates = _numbers(given, "rates", (0.1,), float)
    return Grid(
        data=tuple(
            _data_files(name, block, (folder or path.parent, path.parent)) for name, block in given["data"].items()
        ),
        models=tuple(map(str, _listed(given, "models", (DEFAULT_MODEL,)))),
        attacks={str(name): _attack(str(name), block) for name, block in given["attacks"].items()},
        label_modes=tuple(map(str, _listed(given, "label_modes", ("dirty",)))),
        rates=tuple(rate for rate in rates if rate),  # 0, a control, is there anyway
        contenders=(*CONTROLS, *(_contender(str(name), block) for name, block in given["defenses"].items())),
        seeds=_numbers(given, "seeds", (0,), int),
        settings=_settings(given.get("settings") or {}),
        rows=_count(given, "rows"),
        test_rows=_count(given, "test_rows"),
        skip=tuple(pattern(block) for block in _listed(given, "skip", ())),
    )


CONTROLS = (
    Contender(PLAIN, PlainFineTuning()),
    Contender(ORACLE, PlainFineTuning(), is_oracle=True),
    Contender("tuning only", PlainFineTuning(), is_trusted=True),
)


def _data_files(name: str, block: Any, folders: tuple[Path, Path]) -> DataFiles:
    given = merge(DATA_KEYS, _block(f"data set '{name}'", block))
    missing = [key for key in ("train", "test", "target") if key not in given]
    if missing:
        raise SettingsError(f"The data set '{name}' has no {', '.join(missing)}; expected train, test and target.")
    paths = {role: _find(name, str(given[role]), folders) for role in FILE_ROLES if role in given}
    listed = _block("pools", given.get("pools"))
    pools = {attack: _find(name, str(file), folders) for attack, file in listed.items()}
    return DataFiles(
        name=str(name),
        train=paths["train"],
        test=paths["test"],
        trusted=paths.get("trusted"),
        target=str(given["target"]),
        columns=Columns(given.get("text_column"), given.get("text_pair_column"), given.get("label_column")),
        pools=pools,
        hashes={
            **{role: file_sha256(path) for role, path in paths.items()},
            **{f"pool {attack}": file_sha256(path) for attack, path in pools.items()},
        },
    )


def _find(name: str, file: str, folders: tuple[Path, Path]) -> Path:
    paths = list(dict.fromkeys(folder / file for folder in folders))
    for path in paths:
        if path.is_file():
            return path
    looked = " or ".join(f"'{path}'" for path in paths)
    raise DataError(f"The data set '{name}' has no file {looked}. Pass the folder that it lies in as --data.")


def _attack(name: str, block: Any) -> Attack:
    given = _block(f"attack '{name}'", block)
    return configure(lookup("attack", str(given.pop("attack", name)), ATTACKS)(), given)


def _contender(name: str, block: Any) -> Contender:
    if name in {control.name for control in CONTROLS}:
        raise SettingsError(
            f"'{name}' is a control, which every benchmark has; leave it out, or name the defense otherwise."
        )
    given = _block(f"defense '{name}'", block)
    is_trusted = bool(given.pop("trusted", False))
    return Contender(
        name, configure(lookup("defense", str(given.pop("method", name)), DEFENSES)(), given), False, is_trusted
    )


def _settings(block: Any) -> TrainingSettings:
    given = {ALIASES.get(str(key), str(key)): value for key, value in _block("settings", block).items()}
    if "seed" in given:
        raise SettingsError("The seed is no training setting here: list the seeds under 'seeds'.")
    return configure(TrainingSettings(), given)


def pattern(block: Any) -> dict[str, tuple[str, ...]]:
    """Read a part of a grid: axis -> values, of `AXES`.

    Raises:
        SettingsError: it is no such mapping, is empty, or names another axis.
    """
    given = merge(AXES, _block("skip", block))
    if not given:
        raise SettingsError("An entry of 'skip' is empty; expected for example 'data: olid' and 'attacks: [synbkd]'.")
    return {key: tuple(map(str, _listed(given, key, ()))) for key in given}


def fits(cell: Cell, pattern: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a cell has one of the values that a pattern lists on each of its axes."""
    place = {
        "data": cell.data.name,
        "models": cell.model,
        "attacks": cell.attack_name,
        "label_modes": cell.plan.label_mode if cell.plan else None,
        "rates": f"{cell.plan.rate:g}" if cell.plan else "0",
        "defenses": cell.contender.name,
        "seeds": str(cell.settings.seed),
    }
    return all(place[axis] in values for axis, values in pattern.items())


def _block(what: str, block: Any) -> dict[str, Any]:
    if block is None:
        return {}
    if not isinstance(block, Mapping):
        raise SettingsError(f"The {what} of the grid holds {block!r}; expected 'key: value' lines.")
    return {str(key): value for key, value in block.items()}


def _listed(given: Mapping[str, Any], key: str, default: Sequence[Any]) -> Sequence[Any]:
    value = given.get(key, default)
    return value if isinstance(value, (list, tuple)) else [value]


def _numbers(given: Mapping[str, Any], key: str, default: Sequence[Any], kind: type[Number]) -> tuple[Number, ...]:
    numbers = []
    for value in _listed(given, key, default):
        try:
            numbers.append(kind(str(value)))
        except ValueError:
            expected = {float: "numbers", int: "whole numbers"}[kind]
            raise SettingsError(f"{key} holds {value!r}; expected {expected}.") from None
    return tuple(numbers)


def _count(given: Mapping[str, Any], key: str) -> int | None:
    value = given.get(key)
    if value is not None and (not isinstance(value, int) or value < 1):
        raise SettingsError(f"{key} is {value!r}; expected how many rows to keep, at least 1.")
    return value
