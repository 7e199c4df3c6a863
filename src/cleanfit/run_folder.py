"""The output folder of a run: worked on beside its final name, renamed when whole, resumable when interrupted."""

import contextlib
import csv
import fcntl
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cleanfit.errors import CleanfitError, OutputError
from cleanfit.results import write_json

FINGERPRINT = "fingerprint.json"
# A cell that begins with one of these is a formula to a spreadsheet program.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class RunFolder:
    """Where a run goes.

    Args:
        path: the folder, which is there when the run is whole.
        resume: go on with an interrupted run.
        overwrite: replace a finished one.
        shared: a folder for what other runs need too, tokens and plain trainings; None shares nothing.
    """

    path: Path
    resume: bool = False
    overwrite: bool = False
    shared: Path | None = None

    @property
    def partial(self) -> Path:
        """Where it is worked on, beside the final folder and so on the same disk."""
        return self.path.with_name(self.path.name + ".partial")

    def check(self) -> None:
        """Refuse early, before anything slow happens.

        Raises:
            OutputError: a finished or an interrupted run is in the way.
        """
        if self.path.exists() and not self.overwrite:
            raise OutputError(f"'{self.path}' exists already. Pass --overwrite to replace it, or another --out.")
        if self.partial.exists() and not (self.resume or self.overwrite):
            raise OutputError(
                f"'{self.partial}' holds an interrupted run. Pass --resume to go on with it, or --overwrite to begin anew."
            )

    @contextlib.contextmanager
    def open(self, fingerprint: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
        """Work in a temporary folder that becomes the run at the end.

        Args:
            fingerprint: all that decides the result; an interrupted run with another one is not gone on with.

        Yields:
            The folder for the result, and the folder for what is only needed to resume. After an error of the user's nothing
            stays behind; after any other interruption the temporary folder does, to be resumed.

        Raises:
            OutputError: see `check`; or the interrupted run was started with other settings, or is still running.
        """
        self.check()
        self._claim(json.loads(json.dumps(fingerprint)))
        result, work = self.partial / "result", self.partial / "work"
        with self._lock():
            shutil.rmtree(result, ignore_errors=True)
            result.mkdir()
            work.mkdir(exist_ok=True)
            try:
                yield result, work
            except CleanfitError:
                shutil.rmtree(self.partial)
                raise
            self._publish(result)

    def _claim(self, fingerprint: dict[str, Any]) -> None:
        stored = self.partial / FINGERPRINT
        if self.resume and stored.exists():
            before = json.loads(stored.read_text(encoding="utf-8"))
            changed = sorted(key for key in {*before, *fingerprint} if before.get(key) != fingerprint.get(key))
            if changed:
                raise OutputError(
                    f"The interrupted run in '{self.partial}' had other {', '.join(changed)}. "
                    "Resume it with the same inputs, or pass --overwrite to begin anew."
                )
            return
        try:
            if self.partial.exists():
                with self._lock():  # a folder that another process is working in is not deleted under it
                    shutil.rmtree(self.partial)
            self.partial.mkdir(parents=True)
            write_json(stored, fingerprint)
        except OutputError:
            raise
        except OSError as error:
            raise OutputError(f"Cannot write '{self.partial}': {error.strerror}.") from error

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the folder until this process ends, however it ends."""
        with (self.partial / "lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise OutputError(f"Another process is working in '{self.partial}'.") from None
            yield

    def _publish(self, result: Path) -> None:
        if self.path.exists():
            replaced = self.partial / "replaced"
            self.path.rename(replaced)
        result.rename(self.path)
        shutil.rmtree(self.partial)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, made if need be; another process that wants it waits until this one is done, or gone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV that a spreadsheet program opens without running anything: formula cells get a leading apostrophe."""
    table: list[list[object]] = [list(header)]
    table += [[_harmless(cell) for cell in row] for row in rows]
    # Before Python 3.13, csv leaves a lone carriage return unquoted, and readers take it for the end of the row.
    has_returns = any(isinstance(cell, str) and "\r" in cell for row in table for cell in row)
    with path.open("w", encoding="utf-8", newline="") as stream:
        quoting: Literal[0, 1] = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
        csv.writer(stream, lineterminator="\n", quoting=quoting).writerows(table)


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell
