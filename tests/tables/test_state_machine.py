"""Random sequences of changes match a plain list of rows, at each version."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import barbule as bb
from barbule.errors import VersionError

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))

names = st.one_of(st.none(), st.sampled_from(["", "a", "b", "ü", "'quoted'", "naïve\n"]))
numbers = st.one_of(st.none(), st.sampled_from([0.0, -1.5, 2.0, 1e300, float("inf"), float("nan")]))
keys = st.integers(0, 5)


@bb.udf(name="state_machine.shout")
def shout(name: str) -> str:
    return f"{name}!"


def _plain(value):
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _columns(row):
    """Leave out the row id, which no table shows."""
    return {name: value for name, value in row.items() if name != "#"}


def _bag(rows):
    return sorted(repr(sorted((k, _plain(v)) for k, v in _columns(row).items())) for row in rows)


def _large(number):
    return number is not None and not math.isnan(number) and number > 1


class Tables(RuleBasedStateMachine):
    """Drives one table with its views; `self.rows` is the expected content."""

    def __init__(self, database):
        super().__init__()
        self.held = contextlib.ExitStack()
        self.url = self.held.enter_context(database())

    @initialize()
    def start(self):
        self.session = bb.connect(self.url, vectors="exact:")
        self.row_number = 0
        self.number, self.more = "number", {}
        columns = {"key": bb.Int, "name": bb.String, "number": bb.Float}
        table = self.session.create_table("t", columns)
        table.add_computed_column(loud=shout(table.name), half=table.number / 2)
        self.session.create_view(
            "large", table.where(table.number > 1), computed_columns={"echo": shout(table.loud)}
        )
        large = self.session.get_table("large")
        named = self.session.create_view("named", large.where(large.name.notnull()))
        self.session.create_view("tops", named.group_by("name").agg(rows=named.count()))
        self.session.create_view("counts", table.group_by("name").agg(rows=table.count()))
        self.rows: list[dict] = []
        self.past: dict[int, list[dict]] = {}
        self.snapshots: dict[str, list[dict]] = {}
        self.labels: dict[str, int] = {}
        self.gone_back: dict[int, int] = {}
        self.oldest_version = 0
        self.note()

    def teardown(self):
        if hasattr(self, "session"):
            self.session.close()
        self.held.close()

    @property
    def table(self):
        return self.session.get_table("t")

    def visible(self, row):
        number, name = row[self.number], row["name"]
        return {
            **row,
            "loud": None if name is None else f"{name}!",
            "half": None if number is None else number / 2,
        }

    def note(self):
        """Record the expected rows of the new version."""
        version = self.table.history()[0, "version"]
        self.past[version] = [self.visible(row) for row in self.rows]

    def row(self, key, name, number):
        self.row_number += 1
        return {"#": self.row_number, "key": key, "name": name, self.number: number, **self.more}

    @rule(new_rows=st.lists(st.tuples(keys, names, numbers), min_size=1, max_size=4))
    def insert(self, new_rows):
        rows = [self.row(*values) for values in new_rows]
        self.table.insert([{k: row[k] for k in ("key", "name", self.number)} for row in rows])
        self.rows += rows
        self.note()

    @rule(key=keys, name=names)
    def update(self, key, name):
        hit = [row for row in self.rows if row["key"] == key and row["name"] != name]
        done = self.table.update({"name": name}, where=self.table.key == key)
        assert done.rows == len(hit)
        for row in hit:
            row["name"] = name
        self.note()

    @rule(key=keys)
    def update_by_expression(self, key):
        self.table.update({self.number: self.table[self.number] + 1}, where=self.table.key <= key)
        for row in self.rows:
            if row["key"] <= key and row[self.number] is not None:
                row[self.number] += 1
        self.note()

    @rule(key=keys)
    def delete(self, key):
        self.table.delete(where=self.table.key == key)
        self.rows = [row for row in self.rows if row["key"] != key]
        self.note()

    @rule(new_rows=st.dictionaries(keys, numbers, min_size=1, max_size=3))
    def upsert(self, new_rows):
        there = {row["key"] for row in self.rows}
        done = self.table.upsert(
            [{"key": k, self.number: n} for k, n in new_rows.items()], on="key"
        )
        assert done.inserted == len(new_rows.keys() - there)
        for key, number in new_rows.items():
            if key in there:
                for row in self.rows:
                    if row["key"] == key:
                        row[self.number] = number
            else:
                self.rows.append(self.row(key, None, number))
        self.note()

    @rule()
    def rename(self):
        new = "amount" if self.number == "number" else "number"
        self.table.rename_column(self.number, new)
        for row in self.rows:
            row[new] = row.pop(self.number)
        self.number = new
        self.note()

    @precondition(lambda self: len(self.more) < 2)
    @rule(default=st.one_of(st.none(), st.integers(0, 3)))
    def add_column(self, default):
        name = f"more{len(self.more)}"
        defaults = {} if default is None else {name: default}
        self.table.add_columns({name: bb.Int}, defaults=defaults)
        self.more[name] = default
        for row in self.rows:
            row[name] = default
        self.note()

    @precondition(lambda self: self.more)
    @rule()
    def drop_column(self):
        name = list(self.more)[-1]
        self.table.drop_column(name)
        del self.more[name]
        for row in self.rows:
            del row[name]
        self.note()

    @rule()
    def replace_expression(self):
        table = self.table
        table.add_computed_column(loud=shout(table.name), if_exists="replace")
        self.note()

    @rule()
    def recompute(self):
        self.table.recompute("loud")
        self.note()

    @rule()
    def revert_and_back(self):
        before = displayed = self.table.history()[0, "version"]
        while displayed in self.gone_back:
            displayed = self.gone_back[displayed]
        target = displayed - 1
        if target < self.oldest_version or target not in self.past:
            return
        self.table.revert()
        now = [dict(row) for row in self.past[target]]
        assert _bag(self.table.collect()) == _bag(now)
        self.past[self.table.history()[0, "version"]] = now
        self.gone_back[self.table.history()[0, "version"]] = target
        self.table.revert(to=before)
        self.gone_back[self.table.history()[0, "version"]] = before
        self.note()

    @rule()
    def branch(self):
        table = self.table
        other = table.branch("other", if_exists="replace_force")
        other.insert(key=9, name="branch")
        other.delete(where=other.key == 0)
        other.update({"name": "changed"}, where=other.key == 1)
        expected = [dict(row) for row in self.rows if row["key"] != 0]
        for row in expected:
            if row["key"] == 1:
                row["name"] = "changed"
        expected.append(self.row(9, "branch", None))
        assert _bag(other.collect()) == _bag([self.visible(row) for row in expected])
        self.session.drop_table("other")

    @precondition(lambda self: len(self.snapshots) < 3)
    @rule()
    def snapshot(self):
        name = f"s{len(self.snapshots)}"
        self.session.snapshot(name)
        self.snapshots[name] = [self.visible(row) for row in self.rows]

    @rule(label=st.sampled_from(["one", "two"]))
    def checkpoint(self, label):
        version = self.table.checkpoint(label, if_exists="replace")
        assert version == self.table.history()[0, "version"]
        self.labels[label] = version

    @rule()
    def compact(self):
        self.table.compact()
        self.oldest_version = self.table.history()[0, "version"] - 1
        self.note()

    @rule()
    def reopen(self):
        self.session.close()
        self.session = bb.connect(self.url, vectors="exact:")

    @rule(back=st.integers(0, 30))
    def look_back(self, back):
        versions = sorted(self.past)
        version = versions[back % len(versions)]
        try:
            observed = self.table.at(version).collect()
        except VersionError:
            assert version < self.oldest_version
            assert version not in self.labels.values()
            return
        assert _bag(observed) == _bag(self.past[version])
        self.compare(version, versions[-1])
        self.compare(versions[-1], version)

    def compare(self, old, new):
        """Check a diff, row by row and column by column."""
        before, after = ({row["#"]: row for row in self.past[v]} for v in (old, new))
        diff = self.table.diff(old, new)
        assert _bag(diff.added.collect()) == _bag(after[n] for n in after.keys() - before.keys())
        assert _bag(diff.removed.collect()) == _bag(before[n] for n in before.keys() - after.keys())
        if before and after:
            self.compare_schema(diff.schema, *(next(iter(v.values())) for v in (before, after)))
        renamed = dict(diff.schema.renamed)
        changed = []
        for number in before.keys() & after.keys():
            first, then = before[number], after[number]
            first = {renamed.get(k, k): v for k, v in _columns(first).items()}
            common = [name for name in first if name in then]
            if any(_plain(first[name]) != _plain(then[name]) for name in common):
                old_ones = {f"{name}_old": first[name] for name in common}
                changed.append(old_ones | {f"{name}_new": then[name] for name in common})
        assert _bag(diff.changed.collect()) == _bag(changed)

    @staticmethod
    def compare_schema(schema, before, after):
        dropped, come = before.keys() - after.keys(), after.keys() - before.keys()
        assert set(schema.removed) | set(schema.renamed) >= dropped
        assert set(schema.added) | set(schema.renamed.values()) >= come
        assert schema.renamed in ({}, {"number": "amount"}, {"amount": "number"})

    @invariant()
    def all_tables_match_model(self):
        if not hasattr(self, "session"):
            return
        displayed = [self.visible(row) for row in self.rows]
        assert _bag(self.table.collect()) == _bag(displayed)
        large = [
            {**row, "echo": None if row["loud"] is None else f"{row['loud']}!"}
            for row in displayed
            if _large(row[self.number]) or _is_nan(row[self.number])
        ]
        assert _bag(self.session.get_table("large").collect()) == _bag(large)
        named = [row for row in large if row["name"] is not None]
        assert _bag(self.session.get_table("named").collect()) == _bag(named)
        counts = {row["name"]: 0 for row in displayed}
        for row in displayed:
            counts[row["name"]] += 1
        expected = [{"name": name, "rows": rows} for name, rows in counts.items()]
        assert _bag(self.session.get_table("counts").collect()) == _bag(expected)
        tops = dict.fromkeys((row["name"] for row in named), 0)
        for row in named:
            tops[row["name"]] += 1
        expected = [{"name": name, "rows": rows} for name, rows in tops.items()]
        assert _bag(self.session.get_table("tops").collect()) == _bag(expected)
        for label, version in self.labels.items():
            assert _bag(self.table.at(label).collect()) == _bag(self.past[version])
        for name, rows in self.snapshots.items():
            assert _bag(self.session.at(name).get_table("t").collect()) == _bag(rows)


def _is_nan(number):
    return number is not None and math.isnan(number)  # DuckDB: larger than all other numbers


@contextlib.contextmanager
def _duckdb():
    with tempfile.TemporaryDirectory() as folder:
        yield f"duckdb://{Path(folder) / 'app.duckdb'}"


def test_random_mutations_match_model(backend_name, request):
    database = _duckdb
    if backend_name == "postgres":
        database = request.getfixturevalue("postgres").schema
    run_state_machine_as_test(
        lambda: Tables(database),
        settings=settings(
            max_examples=60 if FULL else 5,
            stateful_step_count=25 if FULL else 12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
