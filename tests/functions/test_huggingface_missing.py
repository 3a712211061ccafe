"""Errors for local models that cannot be loaded; no model runs here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import barbule as bb
from barbule.errors import ExpressionError, ModelError
from barbule.functions import huggingface
from patience import PATIENCE


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
def test_vector_length_is_read_from_the_configuration(texts, tmp_path, function, said, length):
    model = config(tmp_path / "model", **said)
    call = getattr(huggingface, function)(texts.text, model_id=model)
    assert call.type() == bb.Vector(length)


@pytest.mark.parametrize("function", ["sentence_transformer", "clip"])
def test_configuration_without_a_length_is_rejected(texts, tmp_path, function):
    model = config(tmp_path / "model", model_type="other")
    with pytest.raises(ModelError, match=r"does not declare the length of its vectors.*Choose"):
        getattr(huggingface, function)(texts.text, model_id=model)


def test_missing_folder_is_reported(texts):
    with pytest.raises(ModelError, match=r"no folder.*with a model.*save_pretrained"):
        huggingface.sentence_transformer(texts.text, model_id="./models/none")


def test_folder_without_a_model_is_reported(texts, tmp_path):
    with pytest.raises(ModelError, match=r"holds no model: it has no config\.json"):
        huggingface.sentence_transformer(texts.text, model_id=str(tmp_path))


def test_unreachable_hub_is_reported(texts):
    with pytest.raises(
        ModelError, match=r"'owner/none' cannot be loaded.*the hub cannot be reached.*hf download"
    ):
        huggingface.sentence_transformer(texts.text, model_id="owner/none")


def test_invalid_model_name_is_rejected(texts):
    with pytest.raises(ModelError, match="neither the name of a model on the hub nor a folder"):
        huggingface.clip(texts.text, model_id="no such name")


@pytest.mark.parametrize("model_id", ["", 7, []])
def test_model_id_must_be_a_name_or_a_folder(texts, model_id):
    with pytest.raises(ExpressionError, match="model_id must be the name of a model"):
        huggingface.clip(texts.text, model_id=model_id)


@pytest.mark.parametrize("labels", [[], ["cat", "cat"], "cat", [1]])
def test_labels_must_be_distinct_strings(texts, labels):
    with pytest.raises(ExpressionError, match="labels must be a list of distinct strings"):
        huggingface.zero_shot_classification(texts.text, labels, model_id="owner/name")


@pytest.mark.parametrize(
    ("function", "takes"),
    [
        ("sentence_transformer", "texts"),
        ("text_generation", "texts"),
        ("detect_objects", "images"),
        ("transcriptions", "sounds"),
        ("clip", "images or texts"),
    ],
)
def test_column_of_another_type_is_rejected_at_declaration(session, function, takes):
    table = bb.create_table(
        "mixed", {"n": bb.Int, "text": bb.String, "img": bb.Image, "sound": bb.Audio}
    )
    call = getattr(huggingface, function).using(model_id="owner/name")
    fitting = {"texts": ["text"], "images": ["img"], "sounds": ["sound"]}.get(
        takes, ["text", "img"]
    )
    for name in set(table.columns) - set(fitting):
        with pytest.raises(ExpressionError, match=rf"huggingface\.{function} takes {takes}\."):
            call(table[name])


def test_value_of_another_type_is_rejected_before_loading():
    with pytest.raises(ExpressionError, match=r"takes images\. \(value: 'str'\)"):
        huggingface.detect_objects("a cat", model_id="owner/name")


def test_missing_model_id_is_reported(texts):
    with pytest.raises(ExpressionError, match="model_id"):
        huggingface.text_generation(texts.text)


def test_misspelt_option_is_reported(texts):
    with pytest.raises(ExpressionError, match=r"has no parameter 'model'.*model_id"):
        huggingface.clip.using(model="openai/clip-vit-base-patch32")


def test_missing_packages_name_the_install_command():
    # None in sys.modules makes the import fail.
    code = """
import sys
sys.modules["torch"] = None
from PIL import Image
from barbule.functions import huggingface as hf

for name in ("clip", "sentence_transformer", "text_generation", "detect_objects", "speech"):
    try:
        picture = Image.new("RGB", (8, 8)) if name == "detect_objects" else "x"
        getattr(hf, name)(picture, model_id=".")
    except Exception as error:
        print(type(error).__name__, error)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 5, run.stderr
    for line in lines:
        assert line.startswith("UnsupportedError huggingface.")
        assert "needs the package torch, which is not installed" in line
        assert line.endswith("pip install 'barbule[huggingface]'.")
