"""Models whose weights run in this process: loaded once, on a device.

Owns the way from weights to a loaded model. Where weights are is known to `hub`; what is asked of
a model is the business of `barbule.functions.huggingface`. Nothing here imports torch or
transformers before weights are needed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, ConfigurationError
from barbule.models.huggingface.hub import (
    ModelSource,
    configuration,
    import_package,
    loading_error,
    model_source,
    quiet_logging,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

__all__ = ["DEVICE_VARIABLE", "LoadedModel", "device", "loaded_model", "unload"]

DEVICE_VARIABLE = "BARBULE_DEVICE"
"""The environment variable that chooses the device. It is no argument of functions, as it is a
property of the machine: what is stored must run on another one, and an answer is the same."""


@dataclass
class LoadedModel:
    """A model in memory.

    Attributes
    ----------
    model
        The network, in evaluation mode and on its device.
    reader
        What makes its inputs: a tokenizer, an image processor, or one of both.
    """

    model: Any
    reader: Any
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it without gradients, and by one thread at a time: tokenizers bear no more."""
        import torch

        with self._lock, quiet_logging(), torch.inference_mode():
            yield

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Move inputs to where the model is, numbers with a point in its precision."""
        import torch

        model = self.model
        return {
            name: value.to(model.device, model.dtype if torch.is_floating_point(value) else None)
            for name, value in tensors.items()
        }


Loader = Callable[[ModelSource], tuple[Any, Any]]

_models: dict[tuple[str, str], LoadedModel] = {}
_loading_locks: dict[tuple[str, str], threading.Lock] = {}
_locks_guard = threading.Lock()


def loaded_model(task: str, model_id: str, load: Loader, *, precise: bool = False) -> LoadedModel:
    """Return a model, loaded when it is first asked for and kept by the process.

    Parameters
    ----------
    task
        What it is loaded for: the same weights may be several networks.
    load
        Makes the network and what reads its inputs.
    precise
        Whether numbers need the range of single precision, as those of models that write do.

    Raises
    ------
    UnsupportedError
        When the packages that run models are not installed.
    ModelError
        When the model cannot be had.
    """
    key = (task, model_id)
    with _locks_guard:
        lock = _loading_locks.setdefault(key, threading.Lock())
    with lock:  # what is dear to load is not loaded twice at once
        if key not in _models:
            _models[key] = _load(task, model_id, load, precise=precise)
        return _models[key]


def unload(model_id: str | None = None) -> int:
    """Forget a loaded model, or all, so that its memory is free for another.

    Returns
    -------
    int
        How many were forgotten.
    """
    keys = [key for key in list(_models) if model_id in {None, key[1]}]
    for key in keys:
        _models.pop(key, None)
    torch = sys.modules.get("torch")
    if keys and torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    return len(keys)


def _load(task: str, model_id: str, load: Loader, *, precise: bool) -> LoadedModel:
    for name in ("torch", "transformers"):
        import_package(name, f"huggingface.{task}")
    configuration(model_id)  # which tells best why a model cannot be had
    source = model_source(model_id)
    try:
        with quiet_logging():
            model, reader = load(source)
            target = device()
            model = model.to(device=target, dtype=_precision(target, precise=precise)).eval()
    except BarbuleError:
        raise
    except Exception as error:
        raise loading_error(model_id, error) from error
    return LoadedModel(model, reader)


def device() -> torch.device:
    """Choose where models run: what the environment says, else a GPU where there is one.

    Raises
    ------
    ConfigurationError
        When the environment names a device that is not here.
    """
    import torch

    device_name = os.environ.get(DEVICE_VARIABLE)
    if device_name:
        try:
            torch.empty(1, device=device_name)
        except Exception as error:
            raise ConfigurationError(
                f"{DEVICE_VARIABLE} names a device that cannot be used here: "
                f"{str(error).splitlines()[0].rstrip('.')}.",
                value=device_name,
                hint="Set it to 'cpu', 'cuda', 'cuda:1', 'mps' …, or leave it out.",
            ) from error
        return torch.device(device_name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _precision(target: torch.device, *, precise: bool) -> torch.dtype:
    """Half precision on a GPU; processors are not faster with it."""
    import torch

    if target.type != "cuda":
        return torch.float32
    # Float16 is the finer one, but what models that write compute may be too large for it.
    return torch.bfloat16 if precise and torch.cuda.is_bf16_supported() else torch.float16
