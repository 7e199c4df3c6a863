"""Write a data set's file, or its first rows in a seeded shuffle, as a TSV file to train or score on."""

import os
from pathlib import Path

import numpy as np
import pandas as pd


def cut(dataset: str, name: str, n_rows: int | None, folder: Path) -> Path:
    """Write a file of a data set of `CLEANFIT_DATA` into a folder, in the order of its rows.

    Args:
        dataset: folder of the data set.
        name: ``train`` or ``test``.
        n_rows: how many rows to keep; None keeps all.
        folder: where to write it.

    Returns:
        The file that was written.
    """
    source = next((Path(os.environ["CLEANFIT_DATA"]) / dataset).glob(f"{name}.tsv*"))
    table = pd.read_csv(source, sep="\t", quoting=3, dtype=str, keep_default_na=False)
    if n_rows:
        table = table.iloc[np.sort(np.random.default_rng(0).permutation(len(table))[:n_rows])]
    written = folder / f"{name}.tsv"
    table.to_csv(written, sep="\t", quoting=3, index=False, lineterminator="\n")
    return written
