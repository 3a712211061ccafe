"""The table that users hold: an Ibis table with barbule's methods.

Owns the class and its representation; its methods are inherited, grouped by subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.suggestions import check_methods
from barbule.tables.column_verbs import ColumnVerbs
from barbule.tables.definitions.description import describe
from barbule.tables.definitions.table_definition import columns_info, definition
from barbule.tables.row_verbs import RowVerbs
from barbule.tables.version_verbs import VersionVerbs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barbule.executor.results.result_set import ResultSet
    from barbule.tables.definitions.description import Description
    from barbule.tables.definitions.table_definition import ColumnDefinition

__all__ = ["Table"]


@check_methods
class Table(RowVerbs, ColumnVerbs, VersionVerbs):
    """A managed table or view.

    It is an `ibis.Table`: everything Ibis can do with a table works on it. The additional methods
    change rows and structure, or read versions.
    """

    __slots__ = ()

    def describe(self, quantile: Sequence[float] = (0.25, 0.5, 0.75)) -> Description:
        """Describe the definition of the table; as a query, the result holds its statistics.

        It shows each column with its type and, if it is computed, its expression as written, with
        the versions of its functions; the sources of a view; the indexes with their parameters; and
        everything that depends on the table. In a notebook it is rendered as a table.

        Parameters
        ----------
        quantile
            The quantiles of numbers among the statistics, which are those of
            `ibis.Table.describe`.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> films.describe()
        films: table of 0 rows
          revenue  float64
          budget   float64
          profit   float64  = films.revenue - films.budget
        >>> films.describe().order_by("pos").collect()["count"]
        [0, 0, 0]
        """
        return describe(self, quantile)

    def definition(self, column: str) -> ColumnDefinition:
        """Return the definition of a column as it was written.

        Returns
        -------
        ColumnDefinition
            A string, the expression, with the attributes `kind` of the column, the versions of its
            `functions`, what it `uses`, and what it is `needed_by`.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> print(films.definition("profit"))
        films.revenue - films.budget
        >>> films.definition("budget").needed_by
        ('films.profit',)
        """
        return definition(self.op(), column)

    @property
    def columns_info(self) -> ResultSet:
        """Return the definitions of all columns, with a row for each.

        Its columns are `name`, `type`, `kind`, `definition`, `functions` (with their versions),
        `uses`, `needed_by`, `indexes` and `default`; see `definition`.

        Examples
        --------
        >>> import barbule as bb
        >>> films = bb.create_table("films", {"revenue": bb.Float, "budget": bb.Float})
        >>> _ = films.add_computed_column(profit=films.revenue - films.budget)
        >>> films.columns_info["definition"]
        [None, None, 'films.revenue - films.budget']
        """
        return columns_info(self.op())
