"""Render the model card that lies beside a saved model, with a section on the audit of its training data."""

import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_card(audit: Mapping[str, Any], is_adapted: bool = False) -> str:
    """Render a model card.

    Args:
        audit: what audit.json holds.
        is_adapted: the model holds layers that plain transformers does not know.

    Returns:
        Markdown with a YAML head, for ``README.md`` beside the model. Text from the data stands in code spans only.
    """
    loader = PackageLoader("cleanfit.report")
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown, not HTML
    environment.filters["code"] = code_span
    return environment.get_template("model_card.md.j2").render(audit=audit, is_adapted=is_adapted)


def code_span(text: object) -> str:
    """Quote foreign text as a Markdown code span that it cannot leave: one line, no backticks, no table bars."""
    plain = re.sub(r"\s+", " ", str(text)).replace("`", "'").replace("|", "\\|").replace("<", "‹").replace(">", "›")
    return f"`{plain or ' '}`"
