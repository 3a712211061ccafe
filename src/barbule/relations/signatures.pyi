# Queries as type checkers and editors see them, beside the code of `queries`. Ibis annotates its
# verbs with its own classes; those of a query return queries (`ibis_verbs` wraps them), and its
# attributes are columns. At run time this module does not exist.

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, overload

import ibis.expr.schema as sch
import ibis.expr.types as ir
import pandas as pd  # noqa: TID253 - never imported
import polars as pl  # noqa: TID253 - never imported
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.common.deferred import Deferred
from ibis.selectors import Selector

from barbule.executor.results.result_set import ResultSet
from barbule.planner.plan import Plan
from barbule.relations.columns import ManagedColumn
from barbule.relations.grouped_query import GroupedQuery
from barbule.relations.queries import Query as Query

_Result = TypeVar("_Result")

Expression: TypeAlias = ir.Value | Deferred | Callable[[Any], Any]
ColumnLike: TypeAlias = str | Selector | Expression
ColumnsLike: TypeAlias = ColumnLike | Iterable[ColumnLike]
JoinKeys: TypeAlias = (
    str | Expression | bool | Sequence[str | Expression | bool | tuple[ColumnLike, ColumnLike]]
)

# A column of a query: that of its type in Ibis, with barbule's methods.
class Column(ManagedColumn, ir.Column):
    # Comparisons are expressions.
    __eq__: Any
    __ne__: Any

class QuerySignatures:
    def __getattr__(self, name: str) -> Column: ...
    @overload
    def __getitem__(self, key: str | int) -> Column: ...
    @overload
    def __getitem__(self, key: slice | Sequence[ColumnLike]) -> Query: ...
    @overload
    def __getitem__(self, key: Any) -> Any: ...
    def collect(self, *, params: Mapping[Any, Any] | None = None) -> ResultSet: ...
    def explain(self) -> Plan: ...
    def select(self, *exprs: ColumnsLike, **named_exprs: Expression | str) -> Query: ...
    def mutate(self, *exprs: ColumnsLike, **mutations: Any) -> Query: ...
    def rename(
        self,
        method: str | Callable[[str], str | None] | Mapping[str, str] | None = None,
        /,
        **substitutions: str,
    ) -> Query: ...
    def drop(self, *fields: str | Selector) -> Query: ...
    def relocate(
        self,
        *columns: str | Selector,
        before: str | Selector | None = None,
        after: str | Selector | None = None,
        **renamed: str,
    ) -> Query: ...
    def cast(self, schema: Any = None, /, **overrides: Any) -> Query: ...
    def try_cast(self, schema: Any = None, /, **overrides: Any) -> Query: ...
    def distinct(
        self,
        *,
        on: str | Iterable[str] | Selector | None = None,
        keep: Literal["first", "last"] | None = "first",
    ) -> Query: ...
    def drop_null(
        self,
        subset: Sequence[str] | str | None = None,
        /,
        *,
        how: Literal["any", "all"] = "any",
    ) -> Query: ...
    def fill_null(self, replacements: Any, /) -> Query: ...
    def unpack(self, *columns: str) -> Query: ...
    def unnest(
        self, column: Any, /, *, offset: str | None = None, keep_empty: bool = False
    ) -> Query: ...
    def group_by(self, *by: ColumnsLike, **key_exprs: Any) -> GroupedQuery: ...
    def value_counts(self, *, name: str | None = None) -> Query: ...
    def topk(self, k: int | None = None, *, name: str | None = None) -> Query: ...
    def union(self, table: ir.Table, /, *rest: ir.Table, distinct: bool = False) -> Query: ...
    def intersect(self, table: ir.Table, /, *rest: ir.Table, distinct: bool = True) -> Query: ...
    def difference(self, table: ir.Table, /, *rest: ir.Table, distinct: bool = True) -> Query: ...
    def join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        how: str = "inner",
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def inner_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def left_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def right_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def outer_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def semi_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def anti_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def any_inner_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def any_left_join(
        self,
        right: ir.Table,
        predicates: JoinKeys | None = None,
        *,
        on: JoinKeys | None = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def asof_join(
        self,
        right: ir.Table,
        /,
        on: JoinKeys,
        predicates: JoinKeys = (),
        *,
        tolerance: Any = None,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def cross_join(
        self,
        right: ir.Table,
        /,
        *rest: ir.Table,
        lname: str = "",
        rname: str = "{name}_right",
    ) -> Query: ...
    def pivot_longer(
        self,
        col: str | Selector,
        /,
        *,
        names_to: str | Iterable[str] = "name",
        names_pattern: str | re.Pattern[str] = r"(.+)",
        names_transform: Any = None,
        values_to: str = "value",
        values_transform: Any = None,
    ) -> Query: ...
    def pivot_wider(
        self,
        *,
        id_cols: Selector | None = None,
        names_from: str | Iterable[str] | Selector = "name",
        names_prefix: str = "",
        names_sep: str = "_",
        names_sort: bool = False,
        names: Iterable[str] | None = None,
        values_from: str | Iterable[str] | Selector = "value",
        values_fill: Any = None,
        values_agg: Any = "arbitrary",
    ) -> Query: ...
    def alias(self, alias: str, /) -> Query: ...
    def view(self) -> Query: ...
    def info(self) -> Query: ...
    def as_table(self) -> Query: ...
    def unbind(self) -> Query: ...
    def projection(self, *exprs: ColumnsLike, **named_exprs: Expression | str) -> Query: ...
    # What else tables of Ibis have: without it `__getattr__` would take them for columns.
    @property
    def columns(self) -> tuple[str, ...]: ...
    def schema(self) -> sch.Schema: ...
    def get_name(self) -> str: ...
    def op(self) -> Any: ...
    def equals(self, other: object, /) -> bool: ...
    def get_backend(self) -> BaseBackend: ...
    def count(self, *, where: Expression | None = None) -> ir.IntegerScalar: ...
    def nunique(self, *, where: Expression | None = None) -> ir.IntegerScalar: ...
    def rowid(self) -> ir.IntegerValue: ...
    def as_scalar(self) -> ir.Scalar: ...
    def to_array(self) -> ir.Column: ...
    def pipe(self, f: Callable[..., _Result], /, *args: Any, **kwargs: Any) -> _Result: ...
    def window_by(self, time_col: str | ir.Value, /) -> Any: ...
    def preview(self, **options: float | None) -> Any: ...
    def visualize(self, *_: str, **options: Any) -> None: ...
    def compile(self, **options: Any) -> str: ...
    def to_sql(self, dialect: str | None = None, pretty: bool = True, **options: Any) -> str: ...
    def execute(self, **options: Any) -> Any: ...
    def to_pyarrow(self, **options: Any) -> pa.Table: ...
    def to_pyarrow_batches(self, **options: Any) -> pa.RecordBatchReader: ...
    def to_pandas_batches(self, **options: Any) -> Iterator[pd.DataFrame]: ...
    def to_polars(self, **options: Any) -> pl.DataFrame: ...
    def to_torch(self, **options: Any) -> dict[str, Any]: ...
    def to_csv(self, path: str | Path, /, **options: Any) -> None: ...
    def to_json(self, path: str | Path, /, **options: Any) -> None: ...
    def to_delta(self, path: str | Path, /, **options: Any) -> None: ...
    def to_parquet_dir(self, directory: str | Path, /, **options: Any) -> None: ...
