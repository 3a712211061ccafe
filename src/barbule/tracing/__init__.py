"""Traces: what one operation ran, as a tree of spans.

Owns how spans are recorded, read and shown. What is worth a span is decided where it runs.
"""

from barbule.tracing.recording import (
    TRACE_VARIABLE,
    active,
    add,
    annotate,
    carried,
    operation,
    operations,
    rename,
    span,
    statement,
    timed_batches,
)
from barbule.tracing.spans import Span
from barbule.tracing.trace import Trace, trace

__all__ = [
    "TRACE_VARIABLE",
    "Span",
    "Trace",
    "active",
    "add",
    "annotate",
    "carried",
    "operation",
    "operations",
    "rename",
    "span",
    "statement",
    "timed_batches",
    "trace",
]
