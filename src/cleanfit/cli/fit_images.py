"""`cleanfit fit-images`: adapt a pretrained image classifier."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options

Images = Annotated[
    str,
    typer.Argument(help="A folder with one sub-folder of images per class, a saved dataset, or NAME:SPLIT on the hub."),
]


def fit_images(
    data: Images,
    model: Annotated[str, typer.Option(help="A folder or a hub name of a pretrained image model.")],
    out: Annotated[Path, typer.Option(help="Folder for the model and the audit.")],
    defense: Annotated[str, typer.Option(help="See 'cleanfit list defenses'; those for tokens are refused.")] = "plain",
    set_: options.Set = None,
    test: Annotated[str | None, typer.Option(help="Images to score on; a tenth of DATA if not given.")] = None,
    triggered: Annotated[str | None, typer.Option(help="Triggered images with true labels, to score on.")] = None,
    target: Annotated[str | None, typer.Option(help="The attacker's label, with --triggered.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the images. [default: 3]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate. [default: 2e-5]")] = None,
    batch_size: options.BatchSize = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Adapt an image classifier to images that may be poisoned; writes model and audit to --out."""
    told = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
    others = {"precision": precision, "seed": seed, "device": device}
    settings = options.training_settings(options.resolve(None, {**told, **others}))

    from cleanfit.cli.tables import print_scores
    from cleanfit.defenses import DEFENSES
    from cleanfit.run_folder import RunFolder
    from cleanfit.settings import configure, lookup, parse_pairs
    from cleanfit.vision.fitting import fit_images as run

    result = run(
        data,
        model=model,
        defense=configure(lookup("defense", defense, DEFENSES)(), parse_pairs(set_ or [])),
        settings=settings,
        test=test,
        triggered=triggered,
        target=target,
        out=RunFolder(out, resume, overwrite),
    )
    print_scores(result.scores)
    typer.echo(f"Model: {result.folder}/model   Audit: {result.folder}/audit.json")
