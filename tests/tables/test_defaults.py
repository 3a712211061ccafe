"""Defaults and other arguments by column: of classes, and invalid ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import barbule as bb
from barbule.errors import ConfigurationError


@dataclass
class More:
    price: float = 10.0
    tag: str | None = None


def test_add_columns_of_class_uses_its_defaults(session):
    table = session.create_table("t", [{"n": 1}])
    table.add_columns(More)
    table.insert([{"n": 2}, {"n": 3, "price": 1.5, "tag": "x"}])
    assert table.order_by("n").collect() == [
        {"n": 1, "price": 10.0, "tag": None},
        {"n": 2, "price": 10.0, "tag": None},
        {"n": 3, "price": 1.5, "tag": "x"},
    ]


def test_explicit_default_overrides_class_default(session):
    table = session.create_table("t", More, defaults={"price": 2.0})
    table.insert(tag="a")
    added = session.create_table("u", [{"n": 1}])
    added.add_columns(More, defaults={"price": 2.0})
    assert table.collect()["price"] == added.collect()["price"] == [2.0]


@pytest.mark.parametrize("defaults", [["price"], 5, "price"])
def test_defaults_must_be_a_mapping(session, defaults):
    table = session.create_table("t", {"n": bb.Int})
    for make in (
        lambda: session.create_table("u", {"price": bb.Float}, defaults=defaults),
        lambda: table.add_columns({"price": bb.Float}, defaults=defaults),
    ):
        with pytest.raises(
            ConfigurationError, match=r"defaults must be a mapping of columns.*defaults=\{"
        ):
            make()
    assert (session.list_tables(), table.columns) == (["t"], ("n",))


def test_media_validation_must_be_a_mapping(session):
    with pytest.raises(ConfigurationError, match="media_validation must be a mapping of columns"):
        session.create_table("u", {"image": bb.Image}, media_validation=["image"])
    assert session.list_tables() == []
