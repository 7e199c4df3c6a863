"""Write docs/benchmarks.md from the committed results: python benchmarks/table.py [--check]."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import ablation_table
import attack_tables
import moderate_tables
import scanning_table
import standard_words
import target_table

ROOT = Path(__file__).parent
PAGE = ROOT.parent / "docs" / "benchmarks.md"
NAMES = {
    "plain": ("plain fine-tuning", "plain + tuning on trusted rows"),
    "btu": ("BTU, defaults", "BTU, defaults + tuning"),
    "published": ("BTU, published settings", "BTU, published + tuning"),
    "oracle": ("oracle: plain without the poisoned rows", ""),
}
ORDER = list(NAMES)
GRIDS = {
    "standard": "At full size: what has been run of the whole grid",
    "standard_cpu": "The grid: who defends against what",
    "target_cpu": "Few and many poisoned rows, half and no wrong labels",
    "draws": "The target's files drawn anew",
    "adaptive": "The attacker who knows the default",
    "edges": "Triggers that always stand first or last",
    "variants": "Other triggers at other places, other attacks, the other class",
    "unseen": "Data sets on which no rule was made",
    "moderate_paper": "Moderate-fitting's levers, as published",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    text = render([json.loads(path.read_text()) for path in sorted((ROOT / "results").glob("token_unlearning/*.json"))])
    if parser.parse_args().check:
        sys.exit(0 if PAGE.read_text(encoding="utf-8") == text else "docs/benchmarks.md is out of date")
    PAGE.write_text(text, encoding="utf-8")


def render(cells: list[dict[str, Any]]) -> str:
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        plan = cell["plan"]
        epochs = cell["settings"]["num_train_epochs"]
        key = (cell["data"]["source"], cell["attack"]["name"], plan["label_mode"], plan["rate"], epochs, plan["seed"])
        groups.setdefault(key, []).append(cell)
    parts = [(ROOT / "benchmarks_head.md").read_text(encoding="utf-8").rstrip()]
    parts.append(target_table.target(ROOT / "results"))
    parts.append(scanning_table.scanning(ROOT / "results"))
    parts.append(ablation_table.ablation(ROOT / "results"))
    for name, title in GRIDS.items():
        if (ROOT / "results" / name).exists():
            parts.append(standard_words.standard(ROOT / "results" / name, f"{title} (`benchmarks/{name}.yaml`)"))
    for (data, attack, mode, rate, epochs, seed), members in sorted(groups.items()):
        parts.append(
            f"## {data}, {attack}, {mode} {rate:.0%}, {epochs:g} epochs, seed {seed}\n\n{_table(members)}\n\n{_notes(members)}"
        )
    measured = [json.loads(path.read_text()) for path in sorted((ROOT / "results" / "attacks").glob("*.json"))]
    fitted = [json.loads(path.read_text()) for path in sorted((ROOT / "results" / "moderate_fitting").glob("*.json"))]
    if fitted:
        parts.append(moderate_tables.moderate(fitted, measured))
    if measured:
        parts.append(attack_tables.attacks(measured))
    checked = ROOT / "results" / "attack_counts.json"
    if checked.exists():
        parts.append(attack_tables.counts(json.loads(checked.read_text())))
    million = ROOT / "results" / "poison_million.json"
    if million.exists():
        parts.append(attack_tables.million(json.loads(million.read_text())))
    return "\n\n".join(parts) + "\n"


def _table(cells: list[dict[str, Any]]) -> str:
    lines = ["| | clean accuracy | attack success rate | trusted rows |", "|---|---|---|---|"]
    has_plain = any(cell["cell"].endswith("-plain") for cell in cells)
    for cell in sorted(cells, key=_rank):
        variant = cell["cell"].rsplit("-", 1)[1]
        untuned, tuned = NAMES.get(variant, (f"BTU, {variant}", f"BTU, {variant} + tuning"))
        for score in cell["scores"]:
            if score["stage"] == "trained" and variant not in ("plain", "oracle"):
                if not has_plain:
                    lines.append(
                        f"| plain fine-tuning | {score['clean_accuracy']:.3f} | {score['attack_success_rate']:.3f} | 0 |"
                    )
                continue  # the same model as plain's
            is_tuned = score["stage"] == "tuned"
            rows = cell["needs"]["trusted_rows"] if is_tuned else 0
            name = tuned if is_tuned else untuned
            lines.append(f"| {name} | {score['clean_accuracy']:.3f} | {score['attack_success_rate']:.3f} | {rows} |")
    return "\n".join(lines)


def _rank(cell: dict[str, Any]) -> tuple[int, str]:
    variant = cell["cell"].rsplit("-", 1)[1]
    return (ORDER.index(variant) if variant in ORDER else len(ORDER), variant)


def _notes(cells: list[dict[str, Any]]) -> str:
    notes = []
    first = min(cells, key=_rank)
    score = first["scores"][0]
    notes.append(
        f"{score['n_rows']} test rows, {score['n_triggered']} of them triggered; without their trigger "
        f"{score['false_trigger_rate']:.3f} of these are predicted as the target by `{first['cell'].rsplit('-', 1)[1]}`."
    )
    for cell in sorted(cells, key=_rank):
        if cell["suspicious_tokens"]:
            found = " ".join(f"`{token['text']}`" for token in cell["suspicious_tokens"])
            ranks = "; ".join(f"`{text}` {_ranks(by)}" for text, by in sorted(cell["trigger_ranks"].items()))
            variant = cell["cell"].rsplit("-", 1)[1]
            notes.append(
                f"`{variant}` replaced {len(cell['suspicious_tokens'])} tokens: {found}. "
                + (f"Ranks of the trigger pieces in rounds 1, 2, 3: {ranks}." if ranks else "The file held no trigger.")
            )
    versions = first["versions"]
    notes.append(
        f"Commit {first['commit'][:12]}{' (with changes)' if first['is_dirty'] else ''}, torch {versions['torch']}, "
        f"transformers {versions['transformers']}. Command of the first cell: `{first['command']}`"
    )
    return "\n".join(f"- {note}" for note in notes)


def _ranks(by_round: dict[str, int]) -> str:
    return "/".join(str(by_round.get(f"round{number}", "-")) for number in (1, 2, 3))


if __name__ == "__main__":
    main()
