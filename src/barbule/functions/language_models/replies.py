"""The data types of model answers; `barbule.models.base.Reply` documents their fields."""

from __future__ import annotations

import ibis.expr.datatypes as dt

from barbule.types import Json

__all__ = ["MESSAGES", "MODERATION", "RANKING", "SENTIMENT", "TRANSCRIPT", "chat_type"]

_TOOL_CALL = dt.Struct(
    {
        "id": dt.string,
        "type": dt.string,
        "function": dt.Struct({"name": dt.string, "arguments": Json()}),
    }
)


def chat_type(parsed: dt.DataType | None = None) -> dt.Struct:
    """Return the type of a chat completion.

    Parameters
    ----------
    parsed
        The type of a structured answer; it is in the message next to its text.

    Examples
    --------
    >>> chat_type().names
    ('id', 'model', 'created', 'choices', 'usage')
    """
    message = {
        "role": dt.string,
        "content": dt.string,
        "refusal": dt.string,
        "tool_calls": dt.Array(_TOOL_CALL),
        "reasoning_content": dt.string,
    }
    if parsed is not None:
        message["parsed"] = parsed
    choice = {"index": dt.int64, "finish_reason": dt.string, "message": dt.Struct(message)}
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    return dt.Struct(
        {
            "id": dt.string,
            "model": dt.string,
            "created": dt.int64,
            "choices": dt.Array(dt.Struct(choice)),
            "usage": dt.Struct(dict.fromkeys(counts, dt.int64)),
        }
    )


_PART = {"type": dt.string, "text": dt.string, "thinking": dt.string}

MESSAGES = dt.Struct(
    {
        "id": dt.string,
        "type": dt.string,
        "role": dt.string,
        "model": dt.string,
        "content": dt.Array(
            dt.Struct({**_PART, "id": dt.string, "name": dt.string, "input": Json()})
        ),
        "stop_reason": dt.string,
        "stop_sequence": dt.string,
        "usage": dt.Struct({"input_tokens": dt.int64, "output_tokens": dt.int64}),
    }
)

_TIMES = {"start": dt.float64, "end": dt.float64}

TRANSCRIPT = dt.Struct(
    {
        "text": dt.string,
        "language": dt.string,
        "duration": dt.float64,
        "segments": dt.Array(dt.Struct({**_TIMES, "text": dt.string})),
        "words": dt.Array(dt.Struct({**_TIMES, "word": dt.string})),
    }
)

MODERATION = dt.Struct({"flagged": dt.boolean, "categories": Json(), "category_scores": Json()})

RANKING = dt.Array(
    dt.Struct({"index": dt.int64, "relevance_score": dt.float64, "document": dt.string})
)

SENTIMENT = dt.Struct({"label": dt.string, "score": dt.float64})
