"""What is said of local models that cannot be had; no model runs here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import barbule as bb
from barbule.errors import ExpressionError, ModelError
from barbule.functions import huggingface


@pytest.fixture
def texts(session):
    table = bb.create_table("texts", {"text": bb.String})
    table.insert(text="a cat")
    return table


def config(folder, **said):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(said))
    return str(folder)


@pytest.mark.parametrize(
    ("function", "said", "length"),
    [
        ("sentence_transformer", {"hidden_size": 384}, 384),
        ("sentence_transformer", {"dim": 768}, 768),
        ("clip", {"projection_dim": 512}, 512),
        ("clip", {"text_config": {"hidden_size": 768}}, 768),
    ],
)
def test_vectors_have_the_length_that_the_configuration_tells(
    texts, tmp_path, function, said, length
):
    model = config(tmp_path / "model", **said)
    call = getattr(huggingface, function)(texts.text, model_id=model)
    assert call.type() == bb.Vector(length)


@pytest.mark.parametrize("function", ["sentence_transformer", "clip"])
def test_a_configuration_without_a_length_is_no_embedding(texts, tmp_path, function):
    model = config(tmp_path / "model", model_type="other")
    with pytest.raises(ModelError, match=r"does not say how long its vectors are.*Choose"):
        getattr(huggingface, function)(texts.text, model_id=model)


def test_a_folder_that_is_not_there(texts):
    with pytest.raises(ModelError, match=r"no folder.*with a model.*save_pretrained"):
        huggingface.sentence_transformer(texts.text, model_id="./models/none")


def test_a_folder_without_a_model(texts, tmp_path):
    with pytest.raises(ModelError, match=r"holds no model: it has no config\.json"):
        huggingface.sentence_transformer(texts.text, model_id=str(tmp_path))


def test_a_hub_that_cannot_be_reached(texts):
    with pytest.raises(
        ModelError, match=r"'owner/none' cannot be loaded.*the hub cannot be reached.*hf download"
    ):
        huggingface.sentence_transformer(texts.text, model_id="owner/none")


def test_a_name_that_is_none(texts):
    with pytest.raises(ModelError, match="neither a name at the hub nor a folder"):
        huggingface.clip(texts.text, model_id="no such name")


@pytest.mark.parametrize("model_id", ["", 7, []])
def test_a_model_id_is_a_name_or_a_folder(texts, model_id):
    with pytest.raises(ExpressionError, match="model_id names a model"):
        huggingface.clip(texts.text, model_id=model_id)


def test_a_model_that_has_to_be_named(texts):
    with pytest.raises(ExpressionError, match="model_id"):
        huggingface.text_generation(texts.text)


def test_an_option_that_is_misspelt(texts):
    with pytest.raises(ExpressionError, match=r"has no parameter 'model'.*model_id"):
        huggingface.clip.using(model="openai/clip-vit-base-patch32")


def test_without_the_packages_the_command_that_installs_them_is_said():
    # None is how Python says that a module is not to be found.
    code = """
import sys
sys.modules["torch"] = None
from barbule.functions import huggingface as hf

for name in ("clip", "sentence_transformer", "text_generation", "detect_objects", "speech"):
    try:
        getattr(hf, name)("x", model_id=".")
    except Exception as error:
        print(type(error).__name__, error)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 5, run.stderr
    for line in lines:
        assert line.startswith("UnsupportedError huggingface.")
        assert "needs the package torch, which is not installed" in line
        assert line.endswith("pip install 'barbule[huggingface]'.")
