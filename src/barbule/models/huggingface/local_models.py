"""Models whose weights run in this process: loaded once, on a device.

Loads weights and keeps the loaded models of the process. `hub` finds the weights,
`barbule.functions.huggingface` runs the models. Must not import torch or transformers before
weights are needed.
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
property of the machine: a stored expression must run on another one, with the same answers."""


@dataclass
class LoadedModel:
    """A model in memory.

    Attributes
    ----------
    model
        The network, in evaluation mode and on its device.
    reader
        The object that prepares its inputs: a tokenizer, an image processor, or one that is both.
    """

    model: Any
    reader: Any
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run it without gradients, one thread at a time, as tokenizers are not thread-safe."""
        import torch

        with self._lock, quiet_logging(), torch.inference_mode():
            yield

    def inputs(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Move inputs to the device of the model, floating-point ones in its precision."""
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
    """Return a model, loaded on first use and kept by the process.

    Parameters
    ----------
    task
        The task: the same weights may be loaded as several networks.
    load
        Returns the network and the object that prepares its inputs.
    precise
        Whether the model needs the range of single precision, as generative models do.

    Raises
    ------
    UnsupportedError
        When the packages that run models are not installed.
    ModelError
        When the model is not available.
    """
    key = (task, model_id)
    with _locks_guard:
        lock = _loading_locks.setdefault(key, threading.Lock())
    with lock:  # so that two threads do not load the same model
        if key not in _models:
            _models[key] = _load(task, model_id, load, precise=precise)
        return _models[key]


def unload(model_id: str | None = None) -> int:
    """Unload a model, or all, to free its memory.

    Returns
    -------
    int
        How many were unloaded.
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
    configuration(model_id)  # its errors explain best why a model is not available
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
    """Return the device of models: that of the environment variable, else a GPU, else the CPU.

    Raises
    ------
    ConfigurationError
        When the environment variable names a device that cannot be used.
    """
    import torch

    device_name = os.environ.get(DEVICE_VARIABLE)
    if device_name:
        try:
            torch.empty(1, device=device_name)
        except Exception as error:
            raise ConfigurationError(
                f"{DEVICE_VARIABLE} names a device that is not available: "
                f"{str(error).splitlines()[0].rstrip('.')}.",
                value=device_name,
                hint="Set it to 'cpu', 'cuda', 'cuda:1', 'mps' …, or unset it.",
            ) from error
        return torch.device(device_name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _precision(target: torch.device, *, precise: bool) -> torch.dtype:
    """Return half precision for a GPU; CPUs are not faster with it."""
    import torch

    if target.type != "cuda":
        return torch.float32
    # Float16 is more precise, but values of generative models may exceed its range.
    return torch.bfloat16 if precise and torch.cuda.is_bf16_supported() else torch.float16
