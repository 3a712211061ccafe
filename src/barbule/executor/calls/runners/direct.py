"""Direct calls of functions of rows: with the cells of each row, by position.

Owns for which functions that is the same as the general way. Building a dictionary of arguments for
each row takes longer than many a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.fast_paths import fast_paths_enabled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from barbule.executor.calls.arguments import Maker
    from barbule.executor.calls.batch_call import BatchCall, Row
    from barbule.functions.function import Function

__all__ = ["direct_results", "positional_arguments"]


def positional_arguments(batch_call: BatchCall) -> list[Maker] | None:
    """Return how arguments are built where the function itself can be called with each row."""
    function = batch_call.function
    if function.is_async or function.processes or function.gpus or batch_call.gives_media:
        return None
    if not fast_paths_enabled():
        return None
    return batch_call.arguments.positional(function) or None


def direct_results(
    function: Function,
    rows: Sequence[Row],
    makers: Sequence[Maker],
    start: int,
    after_error: Callable[[int, Row, Exception], object],
) -> list[object]:
    """Return the results for rows with which a function is called directly.

    Parameters
    ----------
    makers
        Build the arguments by position, each from a row.
    start
        The position of the first row.
    after_error
        Returns the result for a row, given its position, for which the function has failed.
    """
    results: list[object] = []
    while (done := len(results)) < len(rows):
        remaining = rows[done:] if done else rows
        error: Exception = StopIteration()  # raised by the function, it only ends the loop
        try:
            for value in map(function.body, *(map(make, remaining) for make in makers)):
                results.append(value)  # noqa: PERF402 - those before an error are kept
        except Exception as raised:  # noqa: BLE001 - others' code may raise anything
            error = raised
        if (failed := len(results)) < len(rows):
            results.append(after_error(start + failed, rows[failed], error))
    return results
