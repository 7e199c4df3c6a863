"""What a results file says of its making: commit, versions, machine."""

import platform
import subprocess

from cleanfit.audit import versions


def provenance() -> dict[str, object]:
    """Give the commit, whether the tree differs from it, and the versions."""
    return {
        "commit": _git("rev-parse", "HEAD"),
        "is_dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "versions": versions(),
        "platform": platform.platform(),
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()
