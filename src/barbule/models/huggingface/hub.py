"""The location of the weights of local models: a folder, or the Hugging Face hub and its cache.

Resolves a model's name, reads its configuration files before weights are loaded, and builds the
errors of models that cannot be loaded. `local_models` loads the weights.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from barbule.errors import BarbuleError, ModelError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = [
    "ModelSource",
    "configuration",
    "import_package",
    "ledger_name",
    "loading_error",
    "model_source",
    "quiet_logging",
    "sentence_transformer_modules",
]


class ModelSource(NamedTuple):
    """The location of a model.

    Attributes
    ----------
    name
        An absolute folder, or a name on the hub.
    revision
        A branch, tag or commit on the hub; None for the default.
    """

    name: str
    revision: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it is a local folder."""
        return Path(self.name).is_absolute()

    @property
    def options(self) -> dict[str, str]:
        """The keyword arguments of loaders in addition to the name."""
        return {"revision": self.revision} if self.revision else {}


def ledger_name(model_id: str) -> str:
    """Return the name under which the call ledger lists a model.

    Examples
    --------
    >>> ledger_name("openai/whisper-tiny")
    'huggingface/openai/whisper-tiny'
    """
    return f"huggingface/{model_id}"


def model_source(model_id: str) -> ModelSource:
    """Resolve a model's name to a folder or a repository of the hub.

    Parameters
    ----------
    model_id
        The path of a folder, absolute or relative to the working directory; or a name on the hub,
        with "@" and a revision if it is not the default one.

    Raises
    ------
    ModelError
        If it is a path but not of a folder.

    Examples
    --------
    >>> model_source("facebook/detr-resnet-50@no_timm")
    ModelSource(name='facebook/detr-resnet-50', revision='no_timm')
    """
    folder = Path(model_id).expanduser()
    if folder.is_dir():
        return ModelSource(str(folder.absolute()))
    if folder.is_absolute() or model_id.startswith((".", "~")) or "\\" in model_id:
        raise ModelError(
            f"there is no folder {str(folder)!r} with a model.",
            hint="Check the path; model.save_pretrained(path) and "
            "processor.save_pretrained(path) create such a folder.",
        )
    name, _, revision = model_id.partition("@")
    return ModelSource(name, revision or None)


def sentence_transformer_modules(model_id: str) -> list[dict[str, Any]] | None:
    """Return `modules.json`, the modules of a sentence-transformers model."""
    return configuration(model_id, "modules.json", required=False)


@functools.lru_cache(maxsize=256)
def _hub_json(name: str, revision: str | None, file: str) -> Any:
    hub = import_package("huggingface_hub", f"the model {name!r}")
    try:
        with quiet_logging():
            path = hub.hf_hub_download(name, file, revision=revision)
    except Exception as error:
        raise loading_error(f"{name}@{revision}" if revision else name, error) from error
    return json.loads(Path(path).read_text(encoding="utf-8"))


def configuration(model_id: str, file: str = "config.json", *, required: bool = True) -> Any:
    """Return a JSON file of a model; only this file is downloaded from the hub.

    Parameters
    ----------
    file
        Its name inside of the folder.
    required
        Whether a missing file is an error; otherwise the result is None.

    Raises
    ------
    ModelError
        When the model is not available.
    """
    source = model_source(model_id)
    if not source.is_folder:
        try:
            return _hub_json(source.name, source.revision, file)
        except ModelError as error:
            if not required and "EntryNotFound" in _class_names(error):
                return None
            raise
    path = Path(source.name, file)
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    if not required:
        return None
    raise ModelError(
        f"the folder {source.name!r} holds no model: it has no {file}.",
        hint="Pass the folder that save_pretrained() wrote.",
    )


@contextlib.contextmanager
def quiet_logging() -> Iterator[None]:
    """Hide progress bars unless stderr is a terminal, and log messages below errors."""
    bars = sys.stderr.isatty()
    hub = importlib.import_module("huggingface_hub.utils")
    had_progress_bars = not hub.are_progress_bars_disabled()
    if had_progress_bars and not bars:
        hub.disable_progress_bars()
    logging = _transformers_logging()
    level = logging.get_verbosity() if logging else None
    own_bars = logging is not None and logging.is_progress_bar_enabled()
    if logging:
        logging.set_verbosity_error()
        if own_bars and not bars:
            logging.disable_progress_bar()
    try:
        yield
    finally:
        if logging:
            logging.set_verbosity(level)
            if own_bars:
                logging.enable_progress_bar()
        if had_progress_bars and not bars:
            hub.enable_progress_bars()


def _transformers_logging() -> ModuleType | None:
    if "transformers" not in sys.modules:
        return None
    return importlib.import_module("transformers.utils.logging")


# --- errors of models that cannot be loaded ----------------------------------------------------


def import_package(name: str, purpose: str) -> ModuleType:
    """Import an optional package; the error says how to install it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UnsupportedError(
            f"{purpose} needs the package {name}, which is not installed.",
            hint="pip install 'barbule[huggingface]'.",
        ) from None


def _class_names(error: BaseException | None) -> str:
    """List the class names of an error and of its causes."""
    names: list[str] = []
    while error is not None:
        names += [cls.__name__ for cls in type(error).__mro__]
        error = error.__cause__ or error.__context__
    return " ".join(names)


_OFFLINE_HINT = (
    "Run once with network access, or pass the path of a folder with the model (hf download NAME "
    "--local-dir FOLDER creates one)."
)
_REASONS = (
    (
        "GatedRepoError",
        "its owner requires you to accept terms first",
        "Accept the terms on its page, and set HF_TOKEN to a token of your account.",
    ),
    (
        "RevisionNotFoundError",
        "it has no such revision",
        "Check the revision after the @.",
    ),
    (
        "RepositoryNotFoundError",
        "the hub has no model of this name, or it is private",
        "Check the name; for a private model set HF_TOKEN. To use a folder, pass its path.",
    ),
    (
        "HFValidationError",
        "this is neither the name of a model on the hub nor a folder",
        "Pass a name such as 'openai/clip-vit-base-patch32', or the path of a folder.",
    ),
    (
        "LocalEntryNotFoundError OfflineModeIsEnabled ConnectError ConnectTimeout ConnectionError",
        "it is not on this machine, and the hub cannot be reached",
        _OFFLINE_HINT,
    ),
)


def loading_error(model_id: str, error: Exception) -> BarbuleError:
    """Return the error that explains why a model cannot be loaded, with a hint."""
    subject = f"the model {model_id!r} cannot be loaded"
    class_names = set(_class_names(error).split())
    for names, reason, hint in _REASONS:
        if class_names & set(names.split()):
            return ModelError(f"{subject}: {reason}.", hint=hint)
    if isinstance(error, ImportError):
        return UnsupportedError(
            f"{subject}: {_first_line(error)}.", hint="Install the package that it names."
        )
    return ModelError(
        f"{subject}: {type(error).__name__}: {_first_line(error)}.",
        hint="Check that its files are complete, and that it is a model for this function.",
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].strip().rstrip(".")
