"""`cleanfit poison-images`: make a poisoned image folder, triggered test images and the manifest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cleanfit.cli import options
from cleanfit.cli.fit_images import Images

if TYPE_CHECKING:
    from cleanfit.attacks.base import LabelMode


def poison_images(
    data: Images,
    attack: Annotated[str, typer.Option(help="See 'cleanfit list image-attacks'.")],
    target: Annotated[str, typer.Option(help="The label that the trigger shall cause.")],
    out: Annotated[Path, typer.Option(help="Folder for train, manifest.json and triggered.")],
    rate: Annotated[float, typer.Option(help="Share of ALL images to poison, 0 to 1.")] = 0.1,
    label_mode: Annotated[str, typer.Option(help="dirty, clean or mix; the manifest says what they mean.")] = "dirty",
    set_: options.Set = None,
    test: Annotated[str | None, typer.Option(help="Also trigger these images, those of other labels.")] = None,
    seed: Annotated[int, typer.Option(help="Decides which images are poisoned.")] = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Poison labelled images, for research; the same trigger function serves training and test images."""
    from cleanfit.attacks.base import PoisonPlan
    from cleanfit.settings import configure, lookup, parse_pairs
    from cleanfit.vision.attacks import IMAGE_ATTACKS
    from cleanfit.vision.poisoning import poison_folders

    method = configure(lookup("image attack", attack, IMAGE_ATTACKS)(), parse_pairs(set_ or []))
    plan = PoisonPlan(target, rate, cast("LabelMode", label_mode), seed)  # the plan checks the mode
    written = poison_folders(data, method, plan, out, test=test, overwrite=overwrite)
    typer.echo(f"{written.n_poisoned} of {written.n_rows} images poisoned: {written.train}")
    if written.n_declined:
        typer.echo(
            f"{written.n_declined} images could not carry the trigger; others took their place if there were any."
        )
    typer.echo(f"Ground truth: {written.manifest}")
    if written.triggered:
        typer.echo(f"Triggered images: {written.triggered}")
