"""Templates of SQL, for operations that sqlglot has no functions for."""

from __future__ import annotations

import sqlglot as sg
import sqlglot.expressions as sge

__all__ = ["fill_template"]


def fill_template(template: str, **parts: sge.Expression) -> sge.Expression:
    """Return a template of SQL with its placeholders (`:name`) replaced by expressions."""
    return sge.replace_placeholders(sg.parse_one(template, read="postgres"), **parts)
