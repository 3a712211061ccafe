"""Edits of stored expressions, without reading them back: renamed columns, another table.

The expressions are JSON documents as `codec` writes them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from barbule.json_codec import to_compact

if TYPE_CHECKING:
    from barbule.catalog.codec import JSON

__all__ = ["rename_columns", "replace_table"]


def rename_columns(text: str, names: dict[int, dict[str, str]]) -> tuple[str, dict[str, str]]:
    """Rename columns of tables in a stored expression.

    Parameters
    ----------
    names
        For each table the new names of columns by their old ones.

    Returns
    -------
    tuple
        The expression, and the new names of columns of the relation that it stands for, by their
        old ones (none for a value).
    """
    document = json.loads(text)
    renamed: dict[int, dict[str, str]] = {}
    for part in document.get("parts", ()):
        _rename(part, names, renamed)
    columns = _rename(document["expression"], names, renamed)
    return to_compact(document), columns


def replace_table(text: str, old: int, new: int) -> str:
    """Make a stored expression read another table, with the same columns."""

    def visit(value: JSON) -> None:
        if isinstance(value, dict):
            if value.get("$") == "table" and value["v"] == old and value["commit"] is None:
                value["v"] = new
            for child in value.values():
                visit(child)
        elif isinstance(value, list):
            for child in value:
                visit(child)

    document = json.loads(text)
    visit([*document.get("parts", ()), document["expression"]])
    return to_compact(document)


# Relations whose columns are those of their parent, under the same names.
_SAME_NAMES = ("Filter", "Sort", "Limit", "Sample", "Distinct", "DropColumns", "Reference")


def _rename(
    value: JSON, names: dict[int, dict[str, str]], renamed: dict[int, dict[str, str]]
) -> dict[str, str]:
    """Rename columns in a value, in place; return the renamed columns of a relation.

    Parameters
    ----------
    renamed
        The renamed columns of the relations that have been visited, by the ids of their nodes.
    """
    if isinstance(value, list):
        for child in value:
            _rename(child, names, renamed)
    if not isinstance(value, dict):
        return {}
    kind = value.get("$")
    if kind == "ref":
        return renamed[value["v"]]
    if kind == "table":
        renamed[value["id"]] = {} if value["commit"] is not None else names.get(value["v"], {})
        return renamed[value["id"]]
    if kind != "op":
        for child in value.values():
            _rename(child, names, renamed)
        return {}
    arguments = value["a"]
    columns = {name: _rename(argument, names, renamed) for name, argument in arguments.items()}
    if value["c"] == "Field":
        arguments["name"] = columns["rel"].get(arguments["name"], arguments["name"])
    if value["c"] == "DropColumns":
        dropped = arguments["columns_to_drop"]["v"]
        dropped[:] = [columns["parent"].get(name, name) for name in dropped]
    renamed[value["id"]] = columns.get("parent", {}) if value["c"] in _SAME_NAMES else {}
    return renamed[value["id"]]
