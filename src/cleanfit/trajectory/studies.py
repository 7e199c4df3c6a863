"""Studies of many trainings: one trajectory per poison rate, or per combination of settings; each cell is run once."""

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cleanfit.attacks.base import Attack, PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.audit import versions
from cleanfit.errors import SettingsError
from cleanfit.manifest import file_sha256, load_manifest
from cleanfit.metrics import pareto_front
from cleanfit.results import to_plain, write_json
from cleanfit.run_folder import RunFolder
from cleanfit.settings import TrainingSettings, configure, unknown
from cleanfit.trajectory.cells import Cell, open_study, run_cell
from cleanfit.trajectory.plots import save_figure
from cleanfit.trajectory.scene import Recipe, Subject
from cleanfit.trajectory.study_plots import heat_figure, pareto_figure, rate_figure

SCHEMA_VERSION = 1
STUDY = "study.json"
# The rates of Moderate-fitting's study of them.
POISON_RATES = (0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.4)


def poison_rates(
    sources: Sources, attack: Attack, plan: PoisonPlan, rates: Sequence[float], recipe: Recipe, out: RunFolder
) -> tuple[Cell, ...]:
    """Poison a clean file at several rates and follow a training on each.

    Args:
        sources: the clean training file, and the test file.
        attack: the trigger.
        plan: target, label mode and seed; its rate is not looked at.
        rates: shares of ALL rows, in (0, 1].
        recipe: how each model is trained and looked at.
        out: the study's folder: ``data/rate-R/`` as `cleanfit poison` writes it, ``cells/``, ``study.json``, ``rates.png``.
            With ``resume`` finished cells are kept and rates may be added.

    Returns:
        One cell per rate, ascending; ``over`` has ``poison_rate`` and what of it could be done, ``effective_rate``.

    Raises:
        CleanfitError: bad data, model, settings or output folder.

    Source: the poison ratios of Moderate-fitting, NeurIPS 2022.
    """
    if sources.test is None:
        raise SettingsError("A study of poison rates needs test rows: pass --test FILE.")
    plans = [dataclasses.replace(plan, rate=rate) for rate in sorted(set(rates))]
    if not plans or plans[0].rate <= 0:
        raise SettingsError(f"The poison rates are {', '.join(map(str, rates))}; expected shares above 0, up to 1.")
    study = open_study(out)
    cells = []
    for each in plans:
        folder = study / "data" / f"rate-{each.rate:g}"
        manifest = _poisoned(sources, attack, each, folder)
        over = {"poison_rate": each.rate, "effective_rate": manifest["effective_rate"]}
        subject = Subject(folder / manifest["output"]["name"], sources.test, folder / "manifest.json", sources.columns)
        cells.append(run_cell(subject, recipe, study, over))
    about = {"attack": {"name": attack.name, **to_plain(attack)}, "plan": to_plain(plan)}
    del about["plan"]["rate"]
    _write(study, "poison_rates", about, cells)
    save_figure(study / "rates.png", rate_figure(cells))
    return tuple(cells)


def sweep(
    subject: Subject, recipe: Recipe, over: Mapping[str, Sequence[Any]], out: RunFolder
) -> tuple[tuple[Cell, ...], tuple[int, ...]]:
    """Train once for each combination of settings, and find those that no other beats.

    Args:
        subject: the files; with a manifest that has triggered test rows.
        recipe: what all trainings share.
        over: training settings and fields of the capacity -> their values.
        out: the study's folder: ``cells/``, ``study.json``, ``heat.png``, ``pareto.png``. With ``resume`` finished cells are
            kept and values may be added.

    Returns:
        One cell per combination, and the numbers of those on the Pareto front of accuracy and attack success after the
        last step. The front is seen on the rows it is scored on: choose settings on other rows than those you report.

    Raises:
        CleanfitError: bad data, model, settings or output folder, or an unknown setting.
    """
    if subject.manifest is None or not load_manifest(subject.manifest).get("test"):
        raise SettingsError("A sweep weighs accuracy against attack success: pass --manifest, of 'poison --test'.")
    recipes = [_configured(recipe, dict(zip(over, values))) for values in itertools.product(*over.values())]
    if not over or not recipes:
        raise SettingsError("Nothing to sweep over: pass --over setting=value,value.")
    study = open_study(out)
    cells = [run_cell(subject, each, study, changed) for each, changed in recipes]
    lasts = [cell.summary.last for cell in cells]
    front = pareto_front([(last.clean_accuracy, last.attack_success_rate or 0.0) for last in lasts])
    _write(study, "sweep", {"over": list(over), "pareto_front": [cells[place].name for place in front]}, cells)
    save_figure(study / "heat.png", heat_figure(cells))
    save_figure(study / "pareto.png", pareto_figure(cells, front))
    return tuple(cells), front


def _configured(recipe: Recipe, values: Mapping[str, Any]) -> tuple[Recipe, dict[str, Any]]:
    """Change a recipe; also give the changed settings as they were understood."""
    training = {field.name for field in dataclasses.fields(TrainingSettings)}
    capacity = {field.name for field in dataclasses.fields(recipe.capacity)}
    for name in values:
        if name not in training | capacity:
            raise SettingsError(unknown("setting to sweep over", name, sorted(training | capacity)))
    changed = dataclasses.replace(
        recipe,
        settings=configure(recipe.settings, {name: value for name, value in values.items() if name in training}),
        capacity=configure(recipe.capacity, {name: value for name, value in values.items() if name not in training}),
    )
    understood = {**to_plain(changed.capacity), **to_plain(changed.settings)}
    return changed, {name: understood[name] for name in values}


def _poisoned(sources: Sources, attack: Attack, plan: PoisonPlan, folder: Path) -> dict[str, Any]:
    """Poison a file, unless the folder holds just that already; give its manifest."""
    path = folder / "manifest.json"
    if path.exists():
        manifest = load_manifest(path)
        wanted = json.loads(json.dumps([{"name": attack.name, **to_plain(attack)}, to_plain(plan)]))
        stored = [manifest["input"], manifest["test"]["input"], manifest["aligned"], manifest["pool"]]
        given = [sources.train, sources.test, sources.aligned, sources.pool]
        is_same = [part and part["sha256"] for part in stored] == [path and file_sha256(path) for path in given]
        if is_same and [manifest["attack"], manifest["plan"]] == wanted:
            return manifest
    poison_files(sources, attack, plan, folder, overwrite=True)
    return load_manifest(path)


def _write(study: Path, kind: str, about: Mapping[str, Any], cells: Sequence[Cell]) -> None:
    plain = {"schema_version": SCHEMA_VERSION, "kind": kind, **about, "versions": versions(), "cells": cells}
    write_json(study / STUDY, plain)
