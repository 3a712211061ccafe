"""Each method of tables and queries can be the first call of a process."""

from __future__ import annotations

import pytest

import barbule as bb

BEGUN = True  # each program begins with the same lines
BEGIN = """
import barbule as bb
from ibis import _
t = bb.get_table("things")

def rows(query):
    return len(query.collect())

"""

# Expressions that must be true in a new process, on the table `t` of three rows.
VERBS = {
    "add_columns": "t.add_columns({'more': bb.Image}).version > 0",
    "add_computed_column": "t.add_computed_column(high=t.img.height()).version > 0",
    "add_embedding_index": (
        "import user_functions",
        "t.add_embedding_index('formatted', string_embed=user_functions.embed).version > 0",
    ),
    "agg": "t.agg(t.n.sum()).collect()[0] == {'Sum(n)': 6}",
    "aggregate": "t.aggregate(n=t.n.sum(), m=t.img.count()).collect()[0] == {'n': 6, 'm': 1}",
    "alias": "rows(t.alias('x')) == 3",
    "anti_join": "rows(t.anti_join(bb.get_table('few'), 'n')) == 1",
    "any_inner_join": "'img' in t.any_inner_join(bb.get_table('few'), 'n').columns",
    "any_left_join": "'img' in t.any_left_join(bb.get_table('few'), 'n').columns",
    "as_scalar": "rows(t.filter(t.n == t.agg(_.n.max()).as_scalar())) == 1",
    "as_table": "rows(t.as_table()) == 3",
    "asof_join": "rows(t.asof_join(bb.get_table('few'), 'n')) == 3",
    "at": "rows(t.at('first')) == 2",
    "batch_update": "t.batch_update([{'n': 1, 'score': 2.0}], on='n').updated == 1",
    "bind": "t.bind('img')[0].get_name() == 'img'",
    "branch": "rows(t.branch('mine')) == 3",
    "cache": "rows(t.cache()) == 3",
    "cast": "rows(t.cast({'n': 'float64'})) == 3",
    "change_type": "t.change_type('small', 'int32').version > 0",
    "checkpoint": "t.checkpoint('now').label == 'now'",
    "collect": "t.order_by('n').collect()[0]['img'].size == (8, 6)",
    "compact": "t.compact() >= 0",
    "count": "t.count().execute() == 3",
    "cross_join": "rows(t.cross_join(bb.get_table('few'))) == 6",
    "delete": "t.delete(where=t.img.isnull()).rows == 2",
    "columns_info": "t.columns_info['definition'].count('things.n * 2') == 1",
    "definition": "t.definition('double') == 'things.n * 2'",
    "describe": (
        "formatted = t.describe()",
        "'things.img.width()' in str(formatted) and rows(formatted) == len(t.columns)",
    ),
    "difference": "rows(t.select('n').difference(bb.get_table('few').select('n'))) == 1",
    "diff": "t.diff('first', 4).added.count().execute() >= 0",
    "distinct": "rows(t.select('flag').distinct()) == 2",
    "drop": "'img' not in t.drop('img').collect().columns",
    "drop_checkpoint": "t.drop_checkpoint('first') is None",
    "drop_column": "t.drop_column('double').version > 0",
    "drop_embedding_index": "t.drop_embedding_index('place').version > 0",
    "drop_null": "rows(t.drop_null('img')) == 1",
    "dropna": "rows(t.dropna('img')) == 1",
    "errors": "rows(t.errors()) == 0",
    "execute": "len(t.execute()) == 3",
    "explain": "'things' in str(t.filter(t.img.width() > 3).explain())",
    "explain_column": "t.explain_column(high=t.img.height()).calls == 1",
    "fill_null": "rows(t.fill_null({'score': 0.0})) == 3",
    "fillna": "rows(t.fillna({'score': 0.0})) == 3",
    "filter": "rows(t.filter(t.img.notnull())) == 1",
    "get_backend": "t.get_backend() is not None",
    "group_by": "rows(t.group_by('flag').agg(n=_.img.count())) == 2",
    "head": "rows(t.head(2)) == 2",
    "history": "len(t.history()) > 2",
    "info": "rows(t.select('n', 'name').info()) == 2",
    "inner_join": "rows(t.inner_join(bb.get_table('few'), 'n')) == 2",
    "insert": (
        "import PIL.Image, user_functions",
        "t.insert(n=4, img=PIL.Image.new('RGB', (2, 2)), meta={'a': 1}).rows == 1",
    ),
    "intersect": "rows(t.select('n').intersect(bb.get_table('few').select('n'))) == 2",
    "join": "rows(t.join(bb.get_table('few'), 'n')) == 2",
    "left_join": "rows(t.left_join(bb.get_table('few'), 'n')) == 3",
    "limit": "rows(t.limit(1)) == 1",
    "mutate": "rows(t.mutate(w=t.img.width())) == 3",
    "nunique": "t.select('name').nunique().execute() == 3",
    "order_by": "t.order_by(t.n, asc=False).collect()['n'] == [3, 2, 1]",
    "outer_join": "rows(t.outer_join(bb.get_table('few'), 'n')) == 3",
    "pipe": "rows(t.pipe(lambda each: each.limit(1))) == 1",
    "pivot_longer": "rows(t.select('n', 'small').pivot_longer('small')) == 3",
    "pivot_wider": (
        "u = t.select('n', 'name')",
        "rows(u.pivot_wider(names_from='name', values_from='n')) == 1",
    ),
    "preview": "t.preview() is not None",
    "projection": "rows(t.projection('img')) == 3",
    "recompute": "t.recompute('wide').rows == 3",
    "relocate": "t.relocate('img').columns[0] == 'img'",
    "rename": "'pic' in t.rename(pic='img').collect().columns",
    "rename_column": "t.rename_column('img', 'pic').version > 0",
    "revert": "t.revert().version > 0",
    "right_join": "rows(t.right_join(bb.get_table('few'), 'n')) == 2",
    "rowid": "t.select(t.rowid()) is not None",
    "sample": "rows(t.sample(1.0)) == 3",
    "select": "t.select('n', 'img').order_by('n').collect()[0]['img'].size == (8, 6)",
    "semi_join": "rows(t.semi_join(bb.get_table('few'), 'n')) == 2",
    "set_budget": "t.set_budget(calls=10).version > 0",
    "show": "t.show() is None",
    "sql": "rows(t.sql('SELECT n FROM things')) == 3",
    "stale": "len(t.stale()) == 0",
    "to_array": "rows(t.select(x=bb.get_table('few').select('n').limit(1).to_array())) == 3",
    "to_coco": "t.filter(t.n == 1).select('img', 'boxes').to_coco('coco') == 1",
    "to_csv": "t.select('n').to_csv('n.csv') is None",
    "to_delta": "callable(t.to_delta)",
    "to_folder": "t.filter(t.n == 1).select('n', 'img').to_folder('folder') == 1",
    "to_huggingface": "len(t.select('n', 'img').to_huggingface()) == 3",
    "to_json": "t.select('n').to_json('n.json') is None",
    "to_pandas": "len(t.to_pandas()) == 3",
    "to_pandas_batches": "sum(map(len, t.to_pandas_batches())) == 3",
    "to_parquet": "t.select('n', 'img').to_parquet('n.parquet', embed_media=True) is None",
    "to_parquet_dir": "t.select('n').to_parquet_dir('n') is None",
    "to_polars": "len(t.select('n', 'img').to_polars()) == 3",
    "to_pyarrow": "t.to_pyarrow().num_rows == 3",
    "to_pyarrow_batches": "t.to_pyarrow_batches().read_all().num_rows == 3",
    "to_pytorch_dataset": "callable(t.to_pytorch_dataset)",
    "to_sql": "'SELECT' in str(t.to_sql())",
    "to_torch": "callable(t.to_torch)",
    "to_webdataset": "len(t.filter(t.n == 1).select('img').to_webdataset('x.tar')) == 1",
    "to_xlsx": "callable(t.to_xlsx)",
    "topk": "rows(t.select('name').topk(1)) == 1",
    "try_cast": "rows(t.try_cast({'name': 'int64'})) == 3",
    "unbind": "t.unbind() is not None",
    "union": "rows(t.select('img').union(bb.get_table('few').select('img'))) == 5",
    "unnest": "rows(t.unnest('words')) == 2",
    "unpack": "'a' in t.unpack('inner').columns",
    "update": "t.update({'score': t.n * 1.0}, where=t.img.notnull()).rows == 1",
    "upsert": "t.upsert([{'n': 1, 'meta': {'b': 2}}], on='n').updated == 1",
    "value_counts": "rows(t.select('name').value_counts()) == 3",
    "view": "rows(t.view()) == 3",
    "where": "rows(t.where(t.meta.lang == 'en')) == 1",
    "window_by": "callable(t.window_by)",
}


def _public(kind: type) -> set[str]:
    """Return the public names defined by the barbule classes among the bases of a class."""
    own = [base for base in kind.__mro__ if base.__module__.startswith("barbule")]
    return {name for base in own for name in vars(base) if not name.startswith("_")}


def test_table_methods_are_all_covered():
    assert sorted(VERBS) == sorted(_public(bb.Table))


@pytest.mark.parametrize("verb", VERBS)
def test_table_method_works_first_in_a_process(verb, run_with_database):
    given = VERBS[verb]
    *before, expression = [given] if isinstance(given, str) else given
    run_with_database(BEGIN + "\n".join(before) + f"\ngot = {expression}\nassert got, got\n")
