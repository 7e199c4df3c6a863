"""Read poisoned data sets as they were published, and write them as `cleanfit poison` writes its own."""

from collections.abc import Mapping

from cleanfit.importers.openbackdoor import read_openbackdoor
from cleanfit.importers.rows import Layout
from cleanfit.importers.tsv import read_paraphrases, read_tsv_folder

__all__ = ["LAYOUTS"]

LAYOUTS: Mapping[str, Layout] = {
    "openbackdoor": read_openbackdoor,
    "hiddenkiller": read_tsv_folder,
    "onion": read_tsv_folder,
    "styleattack": read_tsv_folder,
    "btu": read_paraphrases,
}
