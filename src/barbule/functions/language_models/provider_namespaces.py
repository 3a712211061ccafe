"""The namespaces of model providers, created from one table.

Owns how a provider's name becomes a module with functions: `from barbule.functions import openai`.
A provider is a row of `barbule.models.providers`, a function one of `chats`, `provider_functions`
or `language`; both are combined here when a function is first accessed.
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
    from collections.abc import Callable, Mapping

    import ibis.expr.datatypes as dt

    from barbule.functions.function import Function
    from barbule.functions.language_models.provider_functions import ProviderFunction

__all__ = ["NAMESPACES", "Namespace", "install"]

_PACKAGE = "barbule.functions"

_INPUTS = {
    "chat": "conversations",
    "embed": "texts to embed",
    "image": "prompts for images",
    "transcribe": "audio to transcribe",
    "speak": "texts to speak",
    "moderate": "texts to moderate",
    "rerank": "documents to rerank",
}


class Namespace(ModuleType):
    """The functions of one provider as a module, so that they can be imported from it.

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
        # Checks whether the module exists get an answer.
        self.__spec__ = ModuleSpec(name, None, origin="barbule's table of providers")
        self.__package__ = _PACKAGE

    def __getattr__(self, name: str) -> Any:
        if name == "invoke_tools":  # the same for all providers
            from barbule.functions.language_models.tool_calls import invoke_tools

            return invoke_tools
        if name.startswith("_") or name not in (templates := _provider_functions()):
            raise no_attribute(self.__name__, name, dir(self))
        function = _declare(self._provider, name, templates[name])
        self.__dict__[name] = function
        return function

    def __dir__(self) -> list[str]:
        return sorted(
            name
            for name, template in _provider_functions().items()
            if self._provider.answers(template.kind)
        )


NAMESPACES: dict[str, Namespace] = {}
"""Name, aliases included, to namespace."""


def install() -> None:
    """Make the namespaces importable."""
    for name, provider in PROVIDERS.items():
        namespace = NAMESPACES.get(provider.name) or Namespace(provider)
        NAMESPACES[name] = namespace
        sys.modules[f"{_PACKAGE}.{name}"] = namespace


@functools.cache
def _provider_functions() -> Mapping[str, ProviderFunction]:
    from barbule.functions.language import LANGUAGE
    from barbule.functions.language_models.chats import CHATS
    from barbule.functions.language_models.provider_functions import PROVIDER_FUNCTIONS

    return {**CHATS, **PROVIDER_FUNCTIONS, **LANGUAGE}


def _declare(provider: Provider, name: str, template: ProviderFunction) -> Function:
    """Create one function of one provider, and register it."""
    from barbule.functions.function import Function
    from barbule.functions.parameters.parameter import Parameter
    from barbule.functions.registry import lookup, register

    @functools.wraps(template.body)
    async def body(client: Any, **arguments: Any) -> Any:
        arguments["model"] = provider.qualified(arguments["model"], template.kind)
        return await template.body(client, **arguments)

    single_item_function = None
    if template.single_item_name is not None:
        single_item_name = f"{_PACKAGE}.{provider.name}.{template.single_item_name}"
        single_item_function = functools.partial(lookup, single_item_name)
    batched = template.batch_size > 1
    return register(
        Function(
            name=f"{_PACKAGE}.{provider.name}.{name}",
            body=body,
            kind="model",
            returns=_returns(provider, template),
            parameters=(Parameter("input", batched=True),) if batched else (),
            batch_size=template.batch_size,
            cached=True,
            model_of=lambda arguments: provider.qualified(str(arguments["model"]), template.kind),
            prepare=lambda arguments: _prepare(provider, name, template, arguments),
            single_item_function=single_item_function,
        )
    )


def _returns(
    provider: Provider, template: ProviderFunction
) -> dt.DataType | Callable[[Mapping[str, Any]], dt.DataType]:
    import ibis.expr.datatypes as dt

    returns = template.returns
    if isinstance(returns, dt.DataType):
        return returns
    return lambda arguments: returns(provider, arguments)


def _prepare(
    provider: Provider, name: str, template: ProviderFunction, arguments: dict[str, Any]
) -> dict[str, Any]:
    """Check a call, resolve its model, and remove arguments without a value."""
    from barbule.errors import ExpressionError, UnsupportedError

    options = {key: value for key, value in arguments.items() if value is not None}
    model = options.pop("model", provider.model if template.defaulted else None)
    target = provider
    if provider.name == ANY_PROVIDER and isinstance(model, str):
        prefix, _, model_name = model.partition("/")
        if not (prefix and model_name):
            raise ExpressionError(
                f"{provider.name}.{name}: the model name has no provider prefix.",
                value=model,
                hint=f"Write it with the prefix, for example 'openai/{model}'.",
            )
        target = provider_of(prefix) or provider
    if not target.answers(template.kind):
        names = [
            other.name
            for other in dict.fromkeys(PROVIDERS.values())
            if other.answers(template.kind) and other.name != ANY_PROVIDER
        ]
        raise UnsupportedError(
            f"{target.name} does not support {name}: LiteLLM does not send it "
            f"{_INPUTS[template.kind]}.",
            hint=f"These have: {', '.join(names)}.",
        )
    if model is None:
        example = "openai/gpt-4o-mini" if provider.name == ANY_PROVIDER else "…"
        raise ExpressionError(
            f"{provider.name}.{name}: no model is given.", hint=f"Add model={example!r}."
        )
    prepared = {"model": model, **template.prepare(options)}
    _check_parameters(provider, target, name, template, prepared)
    return prepared


def _check_parameters(
    provider: Provider,
    target: Provider,
    name: str,
    template: ProviderFunction,
    prepared: Mapping[str, Any],
) -> None:
    """Refuse parameters that are known not to exist, before a request is sent."""
    from barbule.errors import ExpressionError

    declared = list(inspect.signature(template.body).parameters)[1:]  # the client is no argument
    extra = [parameter for parameter in prepared if parameter not in {*declared, "values"}]
    for parameter in extra:
        if parameter in RESERVED:
            raise ExpressionError(
                f"{provider.name}.{name}: the parameter {parameter!r} cannot be passed to a call.",
                hint=RESERVED[parameter].format(provider=target.name),
            )
    model = prepared["model"]
    qualified = provider.qualified(model, template.kind) if isinstance(model, str) else None
    verb = "messages" if name == "messages" else template.kind
    if (unknown := unknown_parameter(verb, qualified, extra)) is not None:
        parameter, suggestion = unknown
        matches = difflib.get_close_matches(parameter, declared, n=1)
        suggestion = matches[0] if matches else suggestion
        raise ExpressionError(
            f"{provider.name}.{name}: {qualified or 'the model'} takes no parameter {parameter!r}.",
            hint=(f"Did you mean {suggestion!r}? " if suggestion else "")
            + "Pass parameters that LiteLLM does not support in extra_body={...}.",
        )
