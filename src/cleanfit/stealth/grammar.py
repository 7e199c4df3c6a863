"""Number of LanguageTool matches (grammar, spelling, style) in texts; needs the extra `grammar` and Java."""

import importlib
import importlib.util
import shutil
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

PACKAGE = "language_tool_python"
LANGUAGE = "en-US"


class GrammarMissingError(Exception):
    """LanguageTool cannot be used here; says why."""


def count_matches(texts: Sequence[str]) -> np.ndarray:
    """Count what LanguageTool finds in each text under its rules for US English.

    Args:
        texts: N texts.

    Returns:
        (N,) counts.

    Raises:
        GrammarMissingError: the package, Java or the server is not there.

    At its first run the package downloads the server (some 250 MB) into its own cache in the user's home.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        raise GrammarMissingError("language-tool-python is not installed; run: pip install 'cleanfit[grammar]'")
    if shutil.which("java") is None:
        raise GrammarMissingError("LanguageTool runs on Java (17 or later), which is not installed")
    try:
        with importlib.import_module(PACKAGE).LanguageTool(LANGUAGE) as tool:
            bar = tqdm(texts, desc="grammar", unit="text", disable=None, leave=False)
            return np.array([len(tool.check(text)) for text in bar], dtype=np.float64)
    except (Exception, SystemExit) as error:  # the package exits where it cannot read Java's version
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise GrammarMissingError(f"LanguageTool did not work: {told}") from error
