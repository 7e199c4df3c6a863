"""An audit as one self-contained HTML page and as a model card; reads the audit alone and needs no torch."""

from cleanfit.report.card import render_card
from cleanfit.report.html import render, write_report
from cleanfit.report.plots import drift_ranking_svg

__all__ = ["drift_ranking_svg", "render", "render_card", "write_report"]
