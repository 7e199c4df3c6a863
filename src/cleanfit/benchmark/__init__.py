"""The benchmark: defenses against attacks, cell by cell, and its tables; what is imported here needs no torch."""

from cleanfit.benchmark.reading import FailedCell, FinishedCell, read_cells
from cleanfit.benchmark.summary import Line, Summary, summarize
from cleanfit.benchmark.tables import write_tables

__all__ = ["FailedCell", "FinishedCell", "Line", "Summary", "read_cells", "summarize", "write_tables"]
