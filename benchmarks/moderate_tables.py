"""Say in Markdown what Moderate-fitting does on each data set and attack, beside plain fine-tuning and the oracle."""

from collections.abc import Sequence
from typing import Any

HEAD = """## Moderate-fitting

`moderate` is the default, the stage finder. *Gap closed*: what share of the attack success between plain and oracle is gone.
*Flagged*: rows of the training file that it left out; precision and recall are against the manifest, which it never sees. The
published levers train for 10 epochs at 3e-4. Cells with a number of rows are cut to that many training rows."""
NAMES = {
    "plain": "plain fine-tuning",
    "moderate": "**moderate**",
    "published_lora": "published: LoRA by the network",
    "published_adapter": "published: adapters by the network",
    "published_prefix": "published: prefixes by the network",
    "lora_rank1": "LoRA of rank 1, 1 epoch, 3e-4",
    "lower_rate": "smaller rate, 5e-6",
    "half_epoch": "half an epoch",
    "one_epoch": "one epoch",
    "plateau": "stop at the plateau",
    "oracle": "oracle",
}


def moderate(cells: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]) -> str:
    """Tabulate the cells of `moderate_fitting.py`, one row each; those of `attacks.py` on the same file give the controls."""
    lines = [
        "| data, attack | method | accuracy | attack success | gap closed | flagged (precision / recall) | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in cells:
        group, variant = cell["cell"].rsplit("-", 1)
        groups.setdefault(group, {})[variant] = cell
    for members in groups.values():
        file = next(iter(members.values()))["hashes"]["train"]
        for cell in (cell for cell in measured if cell["train_sha256"] == file):
            members.update({name: _control(cell, name) for name in ("plain", "oracle") if name not in members})
    for group, members in sorted(groups.items()):
        lines += [_line(_title(group), name, members) for name in NAMES if name in members]
    last = cells[-1]
    lines.append(
        f"\nOne seed, fp32 on a CPU shared with other work: seconds are rough. Torch {last['versions']['torch']}, transformers "
        f"{last['versions']['transformers']}. Command of the last cell: `{last['command']}`"
    )
    return f"{HEAD}\n\n" + "\n".join(lines)


def _control(cell: dict[str, Any], name: str) -> dict[str, Any]:
    """Give a model of `attacks.py` the form of a cell; the first triggered file is the one that `fit` scores on."""
    scores = cell["scores"][name]
    first = scores["attack"]["insertions"][0]["attack_success_rate"]
    return {
        "plan": cell["plan"],
        "scores": [{"clean_accuracy": scores["clean_accuracy"], "attack_success_rate": first}],
        "rows": {"n_flagged": 0, "n_poisoned": cell["n_poisoned"]},
        "seconds": cell["seconds"] if name == "plain" else {},
    }


def _title(group: str) -> str:
    data, attack, mode, rate, rows, *_ = group.split("-")
    cut = "" if rows == "nall" else f" ({int(rows[1:]):,} rows)"
    return f"{data}{cut}, no poison" if float(rate) == 0 else f"{data}{cut}, {attack}, {mode} {float(rate):.0%}"


def _line(title: str, name: str, members: dict[str, dict[str, Any]]) -> str:
    cell = members[name]
    score, rows = cell["scores"][-1], cell["rows"]
    success = score["attack_success_rate"]
    shown = "-" if cell["plan"]["rate"] == 0 or success is None else f"{success:.3f}"
    flagged = f"{rows['n_flagged']:,}" if rows["n_flagged"] else "-"
    if rows["n_flagged"] and rows["n_poisoned"]:
        flagged += f" ({rows['precision']:.2f} / {rows['recall']:.2f})"
    figures = [
        f"{score['clean_accuracy']:.3f}",
        shown,
        _gap(name, members),
        flagged,
        _seconds(cell),
    ]
    return f"| {title} | {NAMES[name]} | {' | '.join(figures)} |"


def _seconds(cell: dict[str, Any]) -> str:
    return f"{sum(cell['seconds'].values()):.0f}" if cell["seconds"] else "-"


def _gap(name: str, members: dict[str, dict[str, Any]]) -> str:
    if name in ("plain", "oracle") or not {"plain", "oracle"} <= members.keys():
        return "-"
    plain, own, oracle = (members[key]["scores"][-1]["attack_success_rate"] for key in ("plain", name, "oracle"))
    return "-" if plain == oracle else f"{(plain - own) / (plain - oracle):.0%}"
