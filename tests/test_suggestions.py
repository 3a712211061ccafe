"""Misspelt functions, namespaces, keywords, columns and tables: errors with a suggestion."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle

import pytest

import barbule as bb
from barbule.errors import BarbuleError, DataError, ExpressionError, TableNotFoundError
from barbule.suggestions import check_arguments


@pytest.mark.parametrize(
    ("module", "name", "meant"),
    [
        ("barbule", "creat_table", "create_table"),
        ("barbule", "Sting", "String"),
        ("barbule.functions", "imge", "image"),
        ("barbule.functions", "openia", "openai"),
        ("barbule.functions.image", "rezise", "resize"),
        ("barbule.functions.audio", "get_metdata", "get_metadata"),
        ("barbule.functions.document", "pagess", "pages"),
        ("barbule.functions.media", "sha265", "sha256"),
        ("barbule.functions.string", "fromat", "format"),
        ("barbule.functions.video", "make_vidio", "make_video"),
        ("barbule.functions.openai", "chat_completion", "chat_completions"),
        ("barbule.functions.anthropic", "mesages", "messages"),
    ],
)
def test_misspelt_module_attribute_gets_a_suggestion(module, name, meant):
    found = importlib.import_module(module)
    message = rf"^module '{module}' has no attribute '{name}'\. Did you mean '{meant}'\?$"
    with pytest.raises(AttributeError, match=message):
        getattr(found, name)
    assert getattr(found, meant)


def test_misspelt_local_model_function_gets_a_suggestion():
    huggingface = pytest.importorskip("barbule.functions.huggingface")
    with pytest.raises(AttributeError, match=r"Did you mean 'sentence_transformer'\?"):
        huggingface.sentence_transformers  # noqa: B018 - the tested access


def test_hasattr_and_import_of_unknown_names_work():
    assert not hasattr(bb.functions.image, "__path_of_nothing__")
    assert not hasattr(bb, "zzz")
    with pytest.raises(ImportError, match="rezise"):
        exec("from barbule.functions.image import rezise")


@pytest.mark.parametrize(
    ("call", "wrong", "meant"),
    [
        (lambda _: bb.create_table("x", {"a": bb.Int}, if_exist="ignore"), "if_exist", "if_exists"),
        (lambda t: bb.create_view("v", t, if_exist="ignore"), "if_exist", "if_exists"),
        (lambda _: bb.drop_table("x", if_not_exist="ignore"), "if_not_exist", "if_not_exists"),
        (lambda _: bb.connect(backed="duckdb://"), "backed", "backend"),
        (lambda _: bb.udf(batchsize=3), "batchsize", "batch_size"),
        (lambda _: bb.query(verson="1"), "verson", "version"),
        (lambda _: bb.iterator(retun_type=int), "retun_type", "return_type"),
        (lambda _: bb.budget(uds=1), "uds", "usd"),
        (lambda t: t.update({"n": 1}, wher=t.n == 1), "wher", "where"),
        (lambda t: t.update(wher=t.n == 1), "wher", "where"),
        (lambda t: t.delete(wher=t.n == 1), "wher", "where"),
        (lambda t: t.add_embedding_index("n", embeding=None), "embeding", "embedding"),
        (lambda t: t.revert(too=1), "too", "to"),
        (lambda t: t.to_folder("x", colum="n"), "colum", "column"),
        (lambda t: t.order_by("n", ascc=False), "ascc", "asc"),
        (lambda t: t.filter(t.n > 0).limit(1, ofset=1), "ofset", "offset"),
        (lambda t: t.distinct(kep="last"), "kep", "keep"),
    ],
)
def test_misspelt_keyword_gets_a_suggestion(session, call, wrong, meant):
    table = bb.create_table("t", {"n": bb.Int})
    with pytest.raises(ExpressionError, match=rf"takes no argument '{wrong}'\.") as caught:
        call(table)
    assert f"Did you mean '{meant}'? Its signature is " in caught.value.hint
    assert bb.list_tables() == ["t"]
    assert len(table.history()) == 1


def test_invalid_arguments_show_the_signature(session):
    table = bb.create_table("t", {"n": bb.Int})
    with pytest.raises(ExpressionError, match=r"history\(\): too many .*signature is history\(\)"):
        table.history(5)
    with pytest.raises(ExpressionError, match=r"checkpoint\(\): missing .*'label'.*\(label, "):
        table.checkpoint()
    with pytest.raises(ExpressionError, match=r"set_budget\(\): .*set_budget\(\*, usd=None"):
        table.set_budget(5)
    with pytest.raises(ExpressionError, match=r"create_table\(\): multiple values .*'schema'"):
        bb.create_table("u", {"n": bb.Int}, schema={"n": bb.Int})
    with pytest.raises(
        DataError, match=r"'on_eror' was passed together with rows\. Did you mean 'on_error'"
    ):
        table.insert([{"n": 1}], on_eror="null")
    assert len(table.history()) == 1


def test_errors_within_a_function_are_unchanged():
    @check_arguments
    def outer(value):
        """Say nothing."""
        return inner(value, 2)

    def inner(value):
        return value

    with pytest.raises(TypeError, match=r"inner\(\) takes 1 positional") as caught:
        outer(1)
    assert not isinstance(caught.value, ExpressionError)
    assert str(inspect.signature(outer)) == "(value)"
    assert outer.__doc__ == "Say nothing."
    assert outer.__globals__ is globals()  # doctest finds examples by it


@pytest.mark.parametrize(
    "ask",
    [
        lambda t: t.drop_column("nmae"),
        lambda t: t.rename_column("nmae", "title"),
        lambda t: t.update({"nmae": "x"}),
        lambda t: t.batch_update([{"nmae": "x"}], on="nmae"),
        lambda t: t.add_embedding_index("nmae"),
        lambda t: t.definition("nmae"),
        lambda t: t.insert([{"nmae": "x"}]),
        lambda t: t.insert(nmae="x"),
        lambda t: t.select("nmae"),
        lambda t: t.nmae,
        lambda t: t.collect()["nmae"],
        lambda t: t.collect()[0]["nmae"],
        lambda t: t.collect()[0].nmae,
        lambda t: t.collect()[0, "nmae"],
    ],
)
def test_misspelt_column_gets_a_suggestion(session, ask):
    table = bb.create_table("t", [{"name": "Up", "year": 2009}])
    with pytest.raises(BarbuleError, match=r"nmae.*Did you mean 'name'\?.* name, year") as caught:
        ask(table)
    assert caught.value.table in {"t", None}


def test_misspelt_result_attribute_gets_a_suggestion(session):
    rows = bb.create_table("t", [{"name": "Up", "year": 2009}]).collect()
    with pytest.raises(AttributeError, match=r"'to_panda'\. Did you mean 'to_pandas'\?"):
        rows.to_panda()
    with pytest.raises(AttributeError, match=r"Did you mean 'name'\?.*rows\[.*name, year"):
        rows.nam  # noqa: B018 - the tested access
    assert not hasattr(rows, "nothing")
    assert not hasattr(rows[0], "name")
    assert rows[0].get("nothing") is None
    assert copy.copy(rows)["name"] == copy.deepcopy(rows[0:1])["name"] == ["Up"]
    assert pickle.loads(pickle.dumps(rows[0])) == {"name": "Up", "year": 2009}


def test_misspelt_table_gets_a_suggestion(session):
    bb.create_table("films", {"n": bb.Int})
    with pytest.raises(
        TableNotFoundError, match=r"'flims'.*Did you mean 'films'\? There are: 'films'\.$"
    ):
        bb.get_table("flims")
