"""One cell of a benchmark: all that decides it, and the name that follows from that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleanfit.attacks.base import Attack, PoisonPlan
from cleanfit.data import Columns
from cleanfit.defenses.base import Defense
from cleanfit.results import short_hash, to_plain
from cleanfit.settings import TrainingSettings


@dataclass(frozen=True)
class DataFiles:
    """A data set of a grid.

    Args:
        name: in the grid.
        train: the clean training file.
        test: rows that only the scores see.
        trusted: rows that a contender with ``is_trusted`` may tune on, or None.
        target: the attacker's label, as written.
        columns: which hold text and label.
        pools: attack's name in the grid -> file of texts that it adds instead of changing rows.
        hashes: role, or ``pool`` and its attack -> sha256 of the file.
    """

    name: str
    train: Path
    test: Path
    trusted: Path | None
    target: str
    columns: Columns = Columns()
    pools: Mapping[str, Path] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """A defense under its name in the grid; whether it is the oracle, and whether it may tune on trusted rows."""

    name: str
    method: Defense
    is_oracle: bool = False
    is_trusted: bool = False


@dataclass(frozen=True)
class Cell:
    """One training and its scores.

    Args:
        data: the files.
        model: a folder or hub name.
        attack_name: in the grid; None at rate 0.
        attack: None at rate 0.
        plan: target, rate, label mode and seed of the attack; None at rate 0.
        contender: the defense.
        settings: of the training, with the cell's seed.
        rows: training rows that are kept before the attack; None = all.
        test_rows: the same for the test rows.
    """

    data: DataFiles
    model: str
    attack_name: str | None
    attack: Attack | None
    plan: PoisonPlan | None
    contender: Contender
    settings: TrainingSettings
    rows: int | None = None
    test_rows: int | None = None

    @property
    def key(self) -> dict[str, Any]:
        """All that decides the cell, as JSON holds it; files by content, not by place."""
        pool = self.data.hashes.get(f"pool {self.attack_name}")
        hashes = self.data.hashes
        settings = to_plain(self.settings)
        del settings["seed"]
        return {
            "dataset": self.data.name,
            "files": {
                "train": hashes["train"],
                "test": hashes["test"],
                "trusted": hashes.get("trusted") if self.contender.is_trusted else None,
                **({"pool": pool} if pool else {}),
            },
            "columns": to_plain(self.data.columns),
            "rows": self.rows,
            "test_rows": self.test_rows,
            "model": self.model,
            "attack": self.attack_name,
            "attack_options": {"name": self.attack.name, **to_plain(self.attack)} if self.attack else {},
            "label_mode": self.plan.label_mode if self.plan else None,
            "rate": self.plan.rate if self.plan else 0.0,
            "target": self.plan.target if self.plan else None,
            "defense": self.contender.name,
            "method": {"name": self.contender.method.name, **to_plain(self.contender.method)},
            "is_oracle": self.contender.is_oracle,
            "is_trusted": self.contender.is_trusted,
            "seed": self.settings.seed,
            "settings": settings,
        }

    @property
    def name(self) -> str:
        """Of its file: a hash of the key."""
        return short_hash(self.key)

    @property
    def block(self) -> str:
        """Of the work that it shares with other cells: those with the same files, model and seed."""
        key = self.key
        files = [key["files"][name] for name in ("train", "test")]
        return short_hash([files, *(key[name] for name in ("columns", "rows", "test_rows", "model", "seed"))])

    @property
    def poison(self) -> str:
        """Of its poisoned files among those of its block."""
        key = self.key
        names = ("attack_options", "label_mode", "rate", "target")
        return short_hash([key["files"].get("pool"), *(key[name] for name in names)])

    @property
    def title(self) -> str:
        """In words, for the progress bar."""
        attack = f"{self.attack_name} {self.plan.label_mode} {self.plan.rate:g}" if self.plan else "no poison"
        return f"{self.data.name}, {attack}, {self.contender.name}, seed {self.settings.seed}"
