"""Provider namespaces: generated from one table, importable as modules, found by name."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap

import pytest
from ibis import _

import barbule as bb
import programs
from barbule.errors import ExpressionError, UnknownFunctionError, UnsupportedError
from barbule.functions.registry import lookup
from barbule.models.providers import ANY_PROVIDER, KINDS, PROVIDERS

BY_KIND = {
    "chat": [
        *("analyze_sentiment", "chat_completions", "classify", "extract", "filter", "messages"),
        *("summarize", "translate", "vision"),
    ],
    "embed": ["embeddings"],
    "image": ["image_generations"],
    "transcribe": ["transcriptions"],
    "speak": ["speech"],
    "moderate": ["moderations"],
    "rerank": ["rerank", "relevance"],
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_namespace_lists_the_functions_of_its_provider(name):
    namespace = getattr(bb.functions, name)
    row = PROVIDERS[name]
    assert dir(namespace) == sorted(each for kind in row.kinds.split() for each in BY_KIND[kind])
    assert importlib.import_module(f"barbule.functions.{name}") is namespace
    for function in dir(namespace):
        made = getattr(namespace, function)
        assert made.name == f"barbule.functions.{row.name}.{function}"
        assert made.__doc__


def test_all_import_paths_return_one_function():
    import barbule.functions.mistral
    from barbule.functions.mistral import chat_completions

    from barbule.functions import mistral, together, together_ai

    assert barbule.functions.mistral is mistral is bb.functions.mistral
    assert mistral.chat_completions is chat_completions
    assert together is together_ai
    assert "mistral" in dir(bb.functions)


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match=r"functions\.openai' has no attribute 'nope'"):
        bb.functions.openai.nope  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'nobody'"):
        bb.functions.nobody  # noqa: B018
    with pytest.raises(ImportError, match="nope"):
        from barbule.functions.openai import nope  # noqa: F401
    with pytest.raises(UnknownFunctionError, match=r"openai.nope"):
        lookup("barbule.functions.openai.nope")


def test_namespaces_import_no_heavy_packages():
    code = """
        import sys
        from barbule.functions import openai, voyage
        from barbule.functions.openai import vision
        assert "rerank" in dir(voyage)
        heavy = {"litellm", "pydantic", "pyarrow", "PIL", "pandas", "openai"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_unsupported_function_of_a_provider_raises(kind):
    table = bb.create_table("t", {"text": bb.String, "sound": bb.Audio})
    without = next(name for name, row in PROVIDERS.items() if not row.answers(kind))
    having = [name for name, row in PROVIDERS.items() if row.answers(kind) and name != ANY_PROVIDER]
    function = getattr(getattr(bb.functions, without), BY_KIND[kind][0])
    arguments = {"transcribe": [table.sound], "rerank": [table.text, ["a"]]}
    with pytest.raises(UnsupportedError, match=f"{without} does not support .*{having[0]}"):
        function(*arguments.get(kind, [table.text]), model="x")


def test_litellm_checks_the_provider_of_the_model():
    table = bb.create_table("t", {"text": bb.String})
    litellm = bb.functions.litellm
    with pytest.raises(UnsupportedError, match="anthropic does not support embeddings"):
        litellm.embeddings(table.text, model="anthropic/claude-haiku-4-5")
    with pytest.raises(ExpressionError, match=r"no provider.*for example 'openai/gpt-4o'"):
        litellm.summarize(table.text, model="gpt-4o")
    # LiteLLM handles a provider that is not in the table.
    assert litellm.summarize(table.text, model="brand_new/x").type().is_string()


def test_model_is_required_without_a_default():
    table = bb.create_table("t", {"text": bb.String})
    with pytest.raises(ExpressionError, match=r"litellm.classify: no model is given"):
        bb.functions.litellm.classify(table.text, ["a", "b"])
    with pytest.raises(ExpressionError, match=r"ollama.summarize: no model is given"):
        bb.functions.ollama.summarize(table.text)
    with pytest.raises(ExpressionError, match=r"missing a required.*'model'"):
        bb.functions.openai.chat_completions([{"role": "user", "content": table.text}])


def test_stored_call_is_found_in_another_process(models, session):
    table = bb.create_table("t", {"text": bb.String})
    table.insert(text="one")
    openai = bb.functions.openai
    table.add_computed_column(
        said=openai.chat_completions(
            model="gpt-4o-mini", messages=[{"role": "user", "content": table.text}]
        )
        .choices[0]
        .message.content,
        mood=openai.analyze_sentiment(table.text).label,
        vector=openai.embeddings(table.text, model="mine", dimensions=3),
    )
    session.close()
    code = """
        import barbule as bb
        bb.connect(vectors="exact:")
        t = bb.get_table("t")
        t.insert(text="two")
        row = t.filter(t.text == "two").collect()[0]
        assert (row["said"], row["mood"]) == ("echo: two", "positive"), row
        assert len(row["vector"]) == 3
    """
    programs.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], check=True)
    assert models.count == 6


def test_provider_prefix_of_a_model_is_optional(models, session):
    table = bb.create_table("t", {"text": bb.String})
    table.insert(text="one")
    for model in ("gpt-4o-mini", "openai/gpt-4o-mini"):
        table.select(x=bb.functions.openai.summarize(table.text, model=model)).collect()
    assert [request["model"] for request in models.requests] == ["gpt-4o-mini"] * 2
    assert bb.calls().model.to_pyarrow().to_pylist() == ["openai/gpt-4o-mini"] * 2


def test_model_can_be_a_column(models, session):
    table = bb.create_table("t", {"text": bb.String, "model": bb.String})
    table.insert([{"text": "a", "model": "gpt-4o-mini"}, {"text": "b", "model": "echo"}])
    found = table.select(x=bb.functions.openai.summarize(table.text, model=table.model)).collect()
    assert found["x"] == ["echo: a", "echo: b"]
    assert sorted(request["model"] for request in models.requests) == ["echo", "gpt-4o-mini"]


def test_calls_nest_and_accept_deferred_columns(models, session):
    table = bb.create_table("t", {"text": bb.String})
    table.insert(text="one")
    french = bb.functions.openai.translate.using(to="French")
    found = table.mutate(x=bb.functions.openai.summarize(french(_.text))).select("x").collect()
    assert found["x"] == ["echo: echo: one"]
