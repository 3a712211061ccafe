"""The snippets of the introductory article, run with barbule and real parts."""

from __future__ import annotations

import importlib.util
import io
import types
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import barbule as bb
from barbule.functions import openai
from fakes import tiny_models
from fakes.web import Answer, serving


@pytest.fixture
def web():
    """Serve an image at /scene.png and answer searches; `web.searches` lists the terms."""
    searches: list[str] = []
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), "green").save(buffer, format="PNG")

    def answer(path: str) -> Answer:
        url = urllib.parse.urlsplit(path)
        if url.path != "/search":
            return 200, "image/png", buffer.getvalue()
        searches.append(urllib.parse.parse_qs(url.query)["q"][0])
        return 200, "text/plain", f"about {searches[-1]}".encode()

    with serving(answer) as url:
        yield types.SimpleNamespace(url=url, searches=searches)


@bb.udf(batch_size=32)
def embed(texts: list[str]) -> list[bb.Vector(64)]:
    """Count words in 64 buckets: texts with common words are similar."""
    vectors = np.full((len(texts), 64), 0.01, "float32")
    for vector, text in zip(vectors, texts, strict=True):
        for word in text.lower().replace("?", " ").replace(".", " ").split():
            vector[zlib.crc32(word.encode()) % 64] += 1
    return list(vectors)


# 01: tables and computed columns


def test_films_have_a_profit_column(session):
    films = bb.create_table(
        "films",
        {"name": bb.String, "revenue": bb.Float, "budget": bb.Float},
        if_exists="replace",
    )
    films.insert(
        [
            {"name": "Inside Out", "revenue": 800.5, "budget": 200.0},
            {"name": "Toy Story", "revenue": 1073.4, "budget": 200.0},
        ]
    )
    films.add_computed_column(profit=(films.revenue - films.budget), if_exists="replace")

    results = films.select(films.name, films.profit).collect()

    assert results["name"] == ["Inside Out", "Toy Story"]
    assert results["profit"] == pytest.approx([600.5, 873.4])
    assert "Toy Story" in str(results)


# 02: images from several sources, described by a model and searched


def test_images_are_described_and_searched(models, web, tmp_path):
    with Path("barbule.toml").open("a") as file:
        file.write("\n[media]\nallow_private = true\n")
    bb.connect(vectors="exact:")
    Image.new("RGB", (5, 5), "red").save(tmp_path / "image2.png")
    images = bb.create_table("my_images", {"img": bb.Image}, if_exists="replace")
    images.insert(
        [
            {"img": f"{web.url}/scene.png"},
            {"img": str(tmp_path / "image2.png")},
            {"img": Image.new("RGB", (4, 4), "blue")},
        ]
    )
    images.add_computed_column(
        description=openai.vision(
            model="gpt-4o-mini", prompt="Describe the image in detail", image=images.img
        )
    )

    assert images.collect()["description"] == ["parts: text,image_url"] * 3
    assert models.count == 3

    @bb.udf(batch_size=4)
    def colours(images: list[bb.Image]) -> list[bb.Vector(3)]:
        return [np.asarray(each.convert("RGB"), "float32").mean(axis=(0, 1)) for each in images]

    images.add_embedding_index("img", embedding=colours)
    image_similarity = images.img.similarity(f"{web.url}/scene.png")
    image_results = images.order_by(image_similarity, asc=False).limit(2).collect()

    assert image_results[0, "img"].size == (6, 4)
    images.insert(img=Image.new("RGB", (9, 9), (0, 130, 0)))
    nearest = images.order_by(image_similarity, asc=False).limit(2).collect()["img"]
    assert {image.size for image in nearest} == {(6, 4), (9, 9)}
    assert models.count == 4


needs_transformers = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "transformers")),
    reason="torch and transformers are not installed: nox -s huggingface has them",
)


@needs_transformers
def test_objects_are_detected_and_images_searched_by_text(session, tmp_path):
    from barbule.functions import huggingface
    from barbule.functions.huggingface import clip

    Image.new("RGB", (50, 50), "red").save(tmp_path / "image2.png")
    images = bb.create_table("my_images", {"img": bb.Image}, if_exists="replace")
    images.insert([{"img": str(tmp_path / "image2.png")}, {"img": Image.new("RGB", (40, 40))}])
    images.add_computed_column(
        objects=huggingface.detr_for_object_detection(
            images.img, model_id=tiny_models.detr(tmp_path / "detr")
        )
    )
    found = images.collect()["objects"]
    assert all(len(each["boxes"]) == len(each["labels"]) for each in found)

    # Create an embedding index for the image column
    images.add_embedding_index(
        "img", embedding=clip.using(model_id=tiny_models.clip(tmp_path / "clip"))
    )
    # Text-to-image search
    query_text = "一只在公园玩耍的狗"
    similarity_score = images.img.similarity(query_text)
    results = images.order_by(similarity_score, asc=False).limit(5).collect()
    assert len(results) == 2
    # Image-to-image search
    image_similarity = images.img.similarity(str(tmp_path / "image2.png"))
    image_results = images.order_by(image_similarity, asc=False).limit(3).collect()
    assert image_results[0, "img"].size == (50, 50)


# 03: a complete workflow, and 05: its extensions


@pytest.fixture
def qa(models, tmp_path):
    """Create the question-answering system over two documents."""
    import docx

    bb.connect(vectors="exact:")
    (tmp_path / "report.md").write_text(
        "Barbules hook into each other.\n\nDown feathers keep birds warm!"
    )
    paper = docx.Document()
    paper.add_paragraph("The main trend is multimodal tables.")
    paper.save(str(tmp_path / "paper.docx"))

    docs = bb.create_table("my_docs.docs", {"doc": bb.Document})
    docs.insert([{"doc": tmp_path / "report.md"}, {"doc": tmp_path / "paper.docx"}])
    chunks = bb.create_view(
        "doc_chunks",
        docs,
        iterator=bb.functions.DocumentSplitter.create(
            document=docs.doc, separators=["。", "!", "?", "\n\n"], chunk_size=40, overlap=10
        ),
    )
    chunks.add_embedding_index("text", string_embed=embed)

    @bb.query
    def retrieve_relevant_chunks(query: str, top_k: int = 1):
        """Retrieve most relevant text chunks."""
        similarity = chunks.text.similarity(query)
        return chunks.order_by(similarity, asc=False).limit(top_k).select(chunks.text)

    qa_system = bb.create_table("my_docs.qa", {"question": bb.String})
    qa_system.add_computed_column(context=retrieve_relevant_chunks(qa_system.question))
    qa_system.add_computed_column(
        prompt=bb.functions.string.format(
            "Context:\n{0}\n\nQuestion: {1}", qa_system.context, qa_system.question
        )
    )
    qa_system.add_computed_column(
        answer=openai.chat_completions(
            model="gpt-4o-mini",
            messages=[{"role": "user", "content": qa_system.prompt}],
            temperature=0.2,
        )
        .choices[0]
        .message.content
    )
    return qa_system


def test_questions_are_answered_from_documents(qa, models, web):
    qa.insert([{"question": "What is the main trend?"}])

    answers = qa.select(qa.question, qa.answer).collect()

    prompt = "Context:\nThe main trend is multimodal tables.\n\nQuestion: What is the main trend?"
    assert answers == [{"question": "What is the main trend?", "answer": f"echo: {prompt}"}]
    assert models.requests[0]["temperature"] == 0.2

    # A repeated question is answered from the ledger.
    qa.insert([{"question": "What is the main trend?"}])
    assert len(set(qa.collect()["answer"])) == 1
    assert models.count == 1

    url = web.url

    @bb.udf
    def fetch_external_data(query: str) -> str:
        """Fetch data from an external API."""
        asked = urllib.parse.quote(query)
        with urllib.request.urlopen(f"{url}/search?q={asked}") as response:
            return response.read().decode()

    enhanced = bb.create_view(
        "enhanced_qa",
        qa,
        computed_columns={"external_context": fetch_external_data(qa.question)},
    )
    qa.insert(question="How do barbules hook into each other?")
    rows = enhanced.where(enhanced.question == "How do barbules hook into each other?").collect()
    assert rows["external_context"] == ["about How do barbules hook into each other?"]
    assert "Barbules hook into each other." in rows[0, "answer"]
    assert len(web.searches) == 3


@needs_transformers
def test_chunks_are_embedded_by_a_sentence_transformer(session, tmp_path):
    from barbule.functions import huggingface

    (tmp_path / "report.md").write_text("A cat sits on the table!\n\nThe dog is red?")
    docs = bb.create_table("my_docs.docs", {"doc": bb.Document})
    docs.insert([{"doc": tmp_path / "report.md"}])
    chunks = bb.create_view(
        "doc_chunks",
        docs,
        iterator=bb.functions.DocumentSplitter.create(
            document=docs.doc, separators=["。", "!", "?", "\n\n"], chunk_size=30, overlap=5
        ),
    )
    model = tiny_models.bert(tmp_path / "all-MiniLM-L6-v2")
    embed_model = huggingface.sentence_transformer.using(model_id=model)
    chunks.add_embedding_index("text", string_embed=embed_model)

    similarity = chunks.text.similarity("The dog is red?")
    found = chunks.order_by(similarity, asc=False).limit(1).select(chunks.text).collect()

    assert found[0, "text"].endswith("The dog is red?")


# 04: versions


def test_experiments_are_labelled_and_compared(session):
    experiments = bb.create_table(
        "model_experiments",
        {"config": bb.String, "data_version": bb.String, "result": bb.Float},
        mode="versioned",
    )
    experiments.insert([{"config": "v1", "data_version": "2024-01", "result": 0.78}])
    checkpoint_v1 = experiments.checkpoint("baseline")
    experiments.update({"result": 0.85}, where=experiments.config == "v1")
    checkpoint_v2 = experiments.checkpoint("augmented data")

    historical_results = experiments.at(checkpoint_v1).collect()
    changes = experiments.diff(checkpoint_v1, checkpoint_v2)

    assert historical_results["result"] == [0.78]
    assert experiments.at("baseline").collect() == historical_results
    assert "1 changed" in str(changes)
    assert len(changes.added.collect()) == len(changes.removed.collect()) == 0
    assert len(changes.changed.collect()) == 1

    experiments.add_computed_column(improved_score=experiments.result * 1.1, if_exists="replace")
    assert experiments.collect()["improved_score"] == pytest.approx([0.935])


# 05: user functions


def test_captions_are_computed_in_batches(session):
    sizes: list[int] = []

    @bb.udf(batch_size=4, return_type=bb.ArrayType(dtype=bb.String))
    def custom_image_caption(images: list) -> list:
        """Caption images, a batch at a time."""
        sizes.append(len(images))
        return [f"{image.width} x {image.height}" for image in images]

    images_table = bb.create_table("custom_caption_images", {"img": bb.Image})
    images_table.insert([{"img": Image.new("RGB", (n, 2))} for n in range(1, 7)])
    images_table.add_computed_column(custom_caption=custom_image_caption(images_table.img))

    assert sizes == [4, 2]
    assert images_table.schema()["custom_caption"].is_string()
    assert min(images_table.collect()["custom_caption"]) == "1 x 2"


@needs_transformers
def test_captions_come_from_a_model_loaded_by_a_function(session, tmp_path):
    from transformers import BlipForConditionalGeneration, BlipProcessor

    model_id = tiny_models.blip(tmp_path / "blip-image-captioning-base")

    @bb.udf(batch_size=4, return_type=bb.ArrayType(dtype=bb.String))
    def custom_image_caption(images: list) -> list:
        """Batch image caption generation."""
        processor = BlipProcessor.from_pretrained(model_id)
        model = BlipForConditionalGeneration.from_pretrained(model_id)
        captions = []
        for img_batch in [images[i : i + 4] for i in range(0, len(images), 4)]:
            inputs = processor(images=img_batch, return_tensors="pt", padding=True)
            outputs = model.generate(**inputs, max_new_tokens=5)
            batch_captions = processor.batch_decode(outputs, skip_special_tokens=True)
            captions.extend(batch_captions)
        return captions

    images_table = bb.create_table("custom_caption_images", {"img": bb.Image})
    images_table.insert([{"img": Image.new("RGB", (40, 40))}])
    images_table.add_computed_column(custom_caption=custom_image_caption(images_table.img))

    (caption,) = images_table.collect()["custom_caption"]
    assert isinstance(caption, str)


# 06: from a prototype to production


@needs_transformers
def test_detected_objects_and_sentiment_are_combined(session, tmp_path):
    from barbule.functions import huggingface

    exploration = bb.create_table(
        "explore_data", {"image": bb.Image, "text": bb.String, "metadata": bb.Json}
    )
    detector = tiny_models.detr(tmp_path / "detr")
    judge = tiny_models.classifier(tmp_path / "judge", ["NEGATIVE", "POSITIVE"])
    exploration.add_computed_column(
        objects=huggingface.detect_objects(exploration.image, model_id=detector, threshold=0.1)
    )
    exploration.add_computed_column(
        sentiment=huggingface.analyze_sentiment(exploration.text, model_id=judge)
    )
    exploration.add_computed_column(
        combined_score=0.6 * exploration.objects.confidence + 0.4 * exploration.sentiment.score
    )
    exploration.insert(image=Image.new("RGB", (40, 40), "red"), text="good", metadata={})

    (row,) = exploration.collect()
    assert row["combined_score"] == pytest.approx(
        0.6 * row["objects"]["confidence"] + 0.4 * row["sentiment"]["score"]
    )


def test_json_and_function_scores_are_combined(session):
    @bb.udf
    def analyze_sentiment(text: str) -> bb.Struct({"label": bb.String, "score": bb.Float}):
        return {"label": "positive" if "good" in text else "neutral", "score": len(text) / 10}

    exploration = bb.create_table("explore_data", {"text": bb.String, "metadata": bb.Json})
    exploration.add_computed_column(sentiment=analyze_sentiment(exploration.text))
    exploration.add_computed_column(
        combined_score=0.6 * exploration.metadata.confidence + 0.4 * exploration.sentiment.score
    )
    exploration.insert(text="good", metadata={"confidence": 0.5})

    assert exploration.collect()["combined_score"] == pytest.approx([0.6 * 0.5 + 0.4 * 0.4])


def test_failing_images_leave_null_cells_and_history_is_queried(session):
    production = bb.create_table(
        "production_images", {"raw_image": bb.Image, "timestamp": bb.Timestamp}, mode="versioned"
    )

    @bb.udf(error_handling="null")
    def robust_image_processing(image):
        """Fail on images without colour."""
        if image.mode != "RGB":
            raise ValueError(f"an image in {image.mode}")
        return {"size": list(image.size)}

    production.add_computed_column(processed_result=robust_image_processing(production.raw_image))
    done = production.insert(
        [
            {"raw_image": Image.new("RGB", (1, 2)), "timestamp": "2023-12-31T23:59:59"},
            {"raw_image": Image.new("L", (3, 4)), "timestamp": "2023-06-01T00:00:00"},
            {"raw_image": Image.new("RGB", (5, 6)), "timestamp": "2024-01-01T00:00:00"},
        ]
    )
    assert (done.rows, done.errors) == (3, 1)

    historical_data = (
        production.where(production.timestamp < "2024-01-01")
        .select(production.processed_result)
        .collect()
    )
    new_data = (
        production.where(production.timestamp >= "2024-01-01")
        .select(production.processed_result)
        .collect()
    )

    assert historical_data["processed_result"] == [{"size": [1, 2]}, None]
    assert new_data["processed_result"] == [{"size": [5, 6]}]
