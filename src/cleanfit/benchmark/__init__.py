"""A benchmark's cells as tables and one page; what is imported here needs no torch."""

from cleanfit.benchmark.reading import Cell, Failure, read_cells
from cleanfit.benchmark.summary import Line, Summary, summarize
from cleanfit.benchmark.tables import write_tables

__all__ = ["Cell", "Failure", "Line", "Summary", "read_cells", "summarize", "write_tables"]
