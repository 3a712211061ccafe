"""The namespaces of model providers, made from one table.

Owns how a provider's name becomes a module with functions: `from barbule.functions import openai`.
A provider is a row of `barbule.models.providers`, a function one of `chats`, `calls` or `language`;
both are put together here when a function is first looked at.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from barbule.models.parameters import RESERVED, unknown_parameter
from barbule.models.providers import ANY_PROVIDER, PROVIDERS, Provider, provider_of
from barbule.suggestions import no_attribute

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.functions.function import Function
    from barbule.functions.language_models.provider_functions import Call

__all__ = ["NAMESPACES", "Namespace", "install"]

_PACKAGE = "barbule.functions"

_WORDS = {
    "chat": "conversations",
    "embed": "texts to embed",
    "image": "prompts for images",
    "transcribe": "sounds to write down",
    "speak": "texts to read aloud",
    "moderate": "texts to judge",
    "rerank": "documents to order",
}


class Namespace(ModuleType):
    """The functions of one provider; as a module, so that they can be imported from it.

    Parameters
    ----------
    provider
        The row of the table.

    Examples
    --------
    >>> from barbule.functions import voyage
    >>> dir(voyage)
    ['embeddings', 'relevance', 'rerank']
    """

    if TYPE_CHECKING:
        chat_completions: Function
        messages: Function
        vision: Function
        embeddings: Function
        moderations: Function
        rerank: Function
        relevance: Function
        image_generations: Function
        transcriptions: Function
        speech: Function
        extract: Function
        analyze_sentiment: Function
        classify: Function
        summarize: Function
        translate: Function
        filter: Function

    def __init__(self, provider: Provider) -> None:
        name = f"{_PACKAGE}.{provider.name}"
        super().__init__(name, f"The models of {provider.name}, through LiteLLM.")
        self._provider = provider
        # What asks whether the module exists gets an answer.
        self.__spec__ = ModuleSpec(name, None, origin="barbule's table of providers")
        self.__package__ = _PACKAGE

    def __getattr__(self, name: str) -> Any:
        if name == "invoke_tools":  # the same for all providers
            from barbule.functions.language_models.tool_calls import invoke_tools

            return invoke_tools
        if name.startswith("_") or name not in (calls := _calls()):
            raise no_attribute(self.__name__, name, dir(self))
        function = _declared(self._provider, name, calls[name])
        self.__dict__[name] = function
        return function

    def __dir__(self) -> list[str]:
        return sorted(name for name, each in _calls().items() if self._provider.answers(each.kind))


NAMESPACES: dict[str, Namespace] = {}
"""Name, aliases included, to namespace."""


def install() -> None:
    """Make the namespaces known to Python's import."""
    for name, provider in PROVIDERS.items():
        namespace = NAMESPACES.get(provider.name) or Namespace(provider)
        NAMESPACES[name] = namespace
        sys.modules[f"{_PACKAGE}.{name}"] = namespace


@functools.cache
def _calls() -> Mapping[str, Call]:
    from barbule.functions.language import LANGUAGE
    from barbule.functions.language_models.chats import CHATS
    from barbule.functions.language_models.provider_functions import CALLS

    return {**CHATS, **CALLS, **LANGUAGE}


def _declared(provider: Provider, name: str, call: Call) -> Function:
    """Make one function of one provider, and register it."""
    from barbule.functions.function import Function
    from barbule.functions.parameters.parameter import Parameter
    from barbule.functions.registry import lookup, register

    @functools.wraps(call.body)
    async def body(client: Any, **arguments: Any) -> Any:
        arguments["model"] = provider.qualified(arguments["model"], call.kind)
        return await call.body(client, **arguments)

    single_item_function = None
    if call.single_item_name is not None:
        single_item_name = f"{_PACKAGE}.{provider.name}.{call.single_item_name}"
        single_item_function = functools.partial(lookup, single_item_name)
    batched = call.batch_size > 1
    return register(
        Function(
            name=f"{_PACKAGE}.{provider.name}.{name}",
            body=body,
            kind="model",
            returns=_returns(provider, call),
            parameters=(Parameter("input", batched=True),) if batched else (),
            batch_size=call.batch_size,
            cached=True,
            model_of=lambda arguments: provider.qualified(str(arguments["model"]), call.kind),
            prepare=lambda arguments: _prepared(provider, name, call, arguments),
            single_item_function=single_item_function,
        )
    )


def _returns(provider: Provider, call: Call) -> Any:
    import ibis.expr.datatypes as dt

    returns = call.returns
    if isinstance(returns, dt.DataType):
        return returns
    return lambda arguments: returns(provider, arguments)


def _prepared(
    provider: Provider, name: str, call: Call, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Check a call, name its model, and leave out what was not given."""
    from barbule.errors import ExpressionError, UnsupportedError

    given = {key: value for key, value in arguments.items() if value is not None}
    model = given.pop("model", provider.model if call.defaulted else None)
    asked = provider
    if provider.name == ANY_PROVIDER and isinstance(model, str):
        prefix, _, rest = model.partition("/")
        if not (prefix and rest):
            raise ExpressionError(
                f"{provider.name}.{name}: the model names no provider.",
                value=model,
                hint=f"Write it with its prefix, like 'openai/{model}'.",
            )
        asked = provider_of(prefix) or provider
    if not asked.answers(call.kind):
        having = [
            each.name for each in dict.fromkeys(PROVIDERS.values()) if each.answers(call.kind)
        ]
        raise UnsupportedError(
            f"{asked.name} has no {name}: LiteLLM brings it no {_WORDS[call.kind]}.",
            hint=f"These have: {', '.join(each for each in having if each != ANY_PROVIDER)}.",
        )
    if model is None:
        example = "openai/gpt-4o-mini" if provider.name == ANY_PROVIDER else "…"
        raise ExpressionError(
            f"{provider.name}.{name}: which model is not said.", hint=f"Add model={example!r}."
        )
    prepared = {"model": model, **call.prepare(given)}
    _check_parameters(provider, asked, name, call, prepared)
    return prepared


def _check_parameters(
    provider: Provider, asked: Provider, name: str, call: Call, prepared: Mapping[str, Any]
) -> None:
    """Refuse parameters of which it is known, before anything is asked, that they do not go."""
    from barbule.errors import ExpressionError

    named = list(inspect.signature(call.body).parameters)[1:]  # the client is no argument
    given = [each for each in prepared if each not in named and each != "values"]
    for each in given:
        if each in RESERVED:
            raise ExpressionError(
                f"{provider.name}.{name}: the parameter {each!r} cannot be passed with a call.",
                hint=RESERVED[each].format(provider=asked.name),
            )
    model = prepared["model"]
    qualified = provider.qualified(model, call.kind) if isinstance(model, str) else None
    verb = "messages" if name == "messages" else call.kind
    if (found := unknown_parameter(verb, qualified, given)) is not None:
        wrong, meant = found
        near = difflib.get_close_matches(wrong, named, n=1)
        meant = near[0] if near else meant
        raise ExpressionError(
            f"{provider.name}.{name}: {qualified or 'the model'} takes no parameter {wrong!r}.",
            hint=(f"Did you mean {meant!r}? " if meant else "")
            + "What a server takes that LiteLLM does not know goes into extra_body={...}.",
        )
