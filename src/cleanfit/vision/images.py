"""Read a labelled set of images and check every one; the pixels stay in their files until a batch needs them."""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Image, Value
from PIL import Image as Pillow
from PIL import ImageOps

from cleanfit.data import LABEL_NAMES
from cleanfit.errors import DataError
from cleanfit.labels import MIN_ROWS_PER_CLASS, find_classes, match_classes, written_labels
from cleanfit.readers import listed

# File names that count as images; anything else in a class folder is refused, so that no row is lost unseen.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
# What `datasets` leaves in a folder that it saved; the second one holds several sets of rows.
SAVED, SAVED_SEVERAL = "state.json", "dataset_dict.json"
HUB_NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<split>[\w.-]+))?")
FEATURES = Features({"row_id": Value("int64"), "image": Image(mode="RGB"), "label": Value("int64")})
MAX_SHOWN_ROWS = 5
BAD_IMAGE = "cannot be opened as an image"


@dataclass(frozen=True)
class LabeledImages:
    """Images that passed every check.

    Args:
        rows: N rows with row_id (zero-based in the source), image (RGB, decoded when it is looked at) and label in [0, C).
        label_names: C labels as written in the source; a row's label is an index into them.
        source: the folder or name as given, or ``"in memory"``.
        sha256: of the labels and the encoded images, in row order.
        files: N paths below the folder; empty for what was no image folder.
    """

    rows: Dataset
    label_names: tuple[str, ...]
    source: str
    sha256: str
    files: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The N labels as written."""
        return tuple(self.label_names[label] for label in self.rows.with_format(None)["label"])

    def pixels(self, row: int) -> np.ndarray:
        """Decode one image: (H, W, 3) bytes."""
        return np.asarray(self.rows[row]["image"])


ImageSource: TypeAlias = str | Path | Dataset | LabeledImages


def read_images(
    source: ImageSource, *, label_names: tuple[str, ...] | None = None, label_column: str | None = None
) -> LabeledImages:
    """Read labelled images and open every one of them once.

    Args:
        source: a folder with one sub-folder of images per class, a folder saved by datasets, the name of a data set on
            the Hugging Face hub with its split (``uoft-cs/cifar10:test``; without one, ``train``), or a Dataset with one
            Image column and a label column.
        label_names: the training data's C labels, for test and trusted images: other labels are then problems, and any
            number of images per class will do. None takes the labels from the source.
        label_column: of a Dataset; None takes its only ClassLabel column, or one of a usual name.

    Returns:
        At least one image; without `label_names`, at least two classes of two images.

    Raises:
        DataError: the source cannot be read, has too few classes, or has images that cannot be used; their row numbers
            are in the message.
    """
    if isinstance(source, LabeledImages) and label_names in (None, source.label_names):
        return source
    opened = _open(source, label_column)
    bad: dict[int, str] = {}
    written = written_labels(opened.labels, opened.classes, bad)
    digest = hashlib.sha256()
    for row, cell in enumerate(_cells(opened.images)):
        encoded = _content(cell)
        if not _opens(encoded):
            bad[row] = BAD_IMAGE
        # Each image after its length: bytes that move from one image to the next must not hash the same.
        digest.update(f"{written[row]}:{len(encoded)}:".encode("utf-8", "replace") + encoded)
    if label_names is None:
        names = find_classes(written, opened.classes, bad)
    else:
        names = label_names
        match_classes(written, names, bad)
    if bad:
        raise DataError(f"{opened.name}: {_summary(bad, opened.files)}")
    if not written:
        raise DataError(f"{opened.name}: no images.")
    if label_names is None and len(names) < 2:
        raise DataError(f"{opened.name}: only one label, {listed(names)}; a classifier needs two.")
    ids = {name: i for i, name in enumerate(names)}
    table = pa.table(
        {"row_id": range(len(written)), "image": opened.images, "label": [ids[label] for label in written]}
    )
    rows = Dataset(table, info=DatasetInfo(features=FEATURES))
    return LabeledImages(rows, names, opened.name, digest.hexdigest(), opened.files)


@dataclass(frozen=True)
class _Opened:
    """What a source holds before it is checked; `images` is an Arrow column of (bytes, path)."""

    name: str
    images: pa.ChunkedArray
    labels: Sequence[Any]
    classes: tuple[str, ...] | None
    files: tuple[str, ...] = ()


def _open(source: ImageSource, label_column: str | None) -> _Opened:
    if isinstance(source, LabeledImages):
        images = source.rows.select_columns(["image"]).with_format("arrow")[:].column(0)
        return _Opened(source.source, images, source.labels, source.label_names, source.files)
    if isinstance(source, (Dataset, DatasetDict)):
        return _open_dataset("in memory", source, label_column)
    folder = Path(source)
    if not folder.exists():
        return _open_dataset(str(source), _from_hub(str(source)), label_column)
    if not folder.is_dir():
        raise DataError(f"{folder}: a file; expected a folder with one sub-folder of images per class.")
    if (folder / SAVED).exists() or (folder / SAVED_SEVERAL).exists():
        return _open_dataset(str(folder), datasets.load_from_disk(str(folder)), label_column)
    return _open_folder(folder)


def _open_folder(folder: Path) -> _Opened:
    """List an image folder, classes and files by name, so that a row's number does not depend on the disk."""
    classes = [path for path in _visible(folder) if path.is_dir()]
    if not classes:
        raise DataError(f"{folder}: no sub-folders; expected one per class, named like the class, with its images.")
    files: list[Path] = []
    for part in classes:
        inside = _visible(part)
        strange = [path for path in inside if path.is_dir() or path.suffix.lower() not in SUFFIXES]
        if strange:
            hint = f" If {folder} holds several sets of images, pass one: {part}." if strange[0].is_dir() else ""
            raise DataError(
                f"{strange[0]}: no image; expected only images ({' '.join(SUFFIXES)}) in the folder of a class.{hint}"
            )
        if not inside:
            raise DataError(f"{part}: no images; expected at least {MIN_ROWS_PER_CLASS} in the folder of a class.")
        files += inside
    images = pa.array([{"bytes": None, "path": str(path.resolve())} for path in files], Image.pa_type)
    relative = tuple(path.relative_to(folder).as_posix() for path in files)
    return _Opened(str(folder), pa.chunked_array([images]), [path.parent.name for path in files], None, relative)


def _open_dataset(name: str, dataset: Dataset | DatasetDict, label_column: str | None) -> _Opened:
    if isinstance(dataset, DatasetDict):
        raise DataError(f"{name}: several sets of rows; pass one: {listed(list(dataset))}")
    features = dataset.features
    pictures = [column for column, feature in features.items() if isinstance(feature, Image)]
    if len(pictures) != 1:
        raise DataError(f"{name}: {len(pictures)} Image columns; expected one, among {listed(list(features))}.")
    label = _label_column(name, features, label_column)

    def take(column: str) -> pa.ChunkedArray:
        return dataset.select_columns([column]).with_format("arrow")[:].column(0)  # stays on disk where it is there

    kind = features[label]
    classes = tuple(kind.names) if isinstance(kind, ClassLabel) else None
    return _Opened(name, take(pictures[0]), take(label).to_pylist(), classes)


def _label_column(name: str, features: Features, asked: str | None) -> str:
    if asked is not None:
        found = [asked] if asked in features else []
    else:
        found = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
        found = found or [column for column in LABEL_NAMES if column in features][:1]
    if len(found) != 1:
        what = "no label column" if not found else f"several label columns: {listed(found)}"
        raise DataError(f"{name}: {what}; its columns are {listed(list(features))}: name one as label_column.")
    return found[0]


def _from_hub(name: str) -> Dataset:
    parts = HUB_NAME.fullmatch(name)
    if parts is None:
        raise DataError(f"'{name}' is no folder, and no name of a data set either (owner/name:split).")
    try:
        return datasets.load_dataset(parts["name"], split=parts["split"] or "train")
    except Exception as error:  # the hub's client raises many kinds
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"'{name}' is no folder, and the hub did not give it: {reason}") from error


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _cells(images: pa.ChunkedArray) -> Iterator[Mapping[str, Any]]:
    """Take one (bytes, path) after the other: all at once they would not fit into memory."""
    return (cell.as_py() or {} for cell in images)


def _content(cell: Mapping[str, Any]) -> bytes:
    """Give the encoded bytes of an image, empty if there are none; an address in a data set is not followed."""
    if cell.get("bytes") is not None:
        return bytes(cell["bytes"])
    try:
        return Path(cell["path"]).read_bytes() if cell.get("path") else b""
    except OSError:
        return b""


def _opens(encoded: bytes) -> bool:
    try:
        with Pillow.open(io.BytesIO(encoded)) as image:
            ImageOps.exif_transpose(image).convert("RGB")
    except Exception:  # Pillow raises many kinds, over broken files of as many formats
        return False
    return True


def _summary(bad: Mapping[int, str], files: Sequence[str]) -> str:
    rows = sorted(bad)
    told = [f"row {row}{f' ({files[row]})' if files else ''}: {bad[row]}" for row in rows[:MAX_SHOWN_ROWS]]
    rest = f" and {len(rows) - MAX_SHOWN_ROWS} more" if len(rows) > MAX_SHOWN_ROWS else ""
    noun = "image" if len(rows) == 1 else "images"
    return f"{len(rows)} unusable {noun}: {'; '.join(told)}{rest}. Mend or remove them."
