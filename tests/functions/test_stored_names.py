"""Names stored in databases: built-in functions, and barbule objects that user functions read.

A change of modules, classes or functions must keep them: otherwise a stored call loses its
function, a stored version goes stale, and paid answers are requested again.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

import barbule as bb
from barbule.functions.identity.source_hash import Source

_NAMES = {
    "audio": "clip concat convert duration encode get_metadata resample segment split",
    "document": "headings metadata page_count page_image pages source split tables text title",
    "huggingface": "analyze_sentiment clip cross_encoder detect_objects detr_for_object_detection "
    "image_captioning sentence_transformer summarization text_classification text_generation "
    "transcriptions translation vit_for_image_classification zero_shot_classification "
    "zero_shot_image_classification",
    "image": "alpha_composite b64_encode blend composite convert crop effect_spread encode enhance "
    "entropy exif_transpose filter format get_metadata getbands getbbox getchannel getcolors "
    "getextrema getpalette getpixel getprojection height histogram mode point quantize reduce "
    "remap_palette resize rotate thumbnail tile_iterator transpose width",
    "media": "changed content sha256",
    "string": "format split_text",
    "video": "clip concat duration extract_audio extract_frame frames get_metadata make_video "
    "overlay_text resample scene_detect_adaptive scene_detect_content scene_detect_hash "
    "scene_detect_histogram scene_detect_threshold segment split",
}
_PROVIDERS = (
    "ai21 anthropic azure azure_ai bedrock black_forest_labs cerebras cloudflare cohere dashscope "
    "databricks deepgram deepinfra deepseek elevenlabs fal_ai fireworks_ai friendliai gemini "
    "github groq hosted_vllm hyperbolic infinity jina_ai litellm litellm_proxy llamafile "
    "lm_studio mistral moonshot nebius novita nvidia_nim oci ollama openai openrouter ovhcloud "
    "perplexity recraft replicate sagemaker sambanova scaleway snowflake stability together_ai "
    "vertex_ai volcengine voyage watsonx xai xinference"
)
_OF_PROVIDERS = (
    "analyze_sentiment chat_completions classify embeddings extract filter image_generations "
    "messages moderations relevance rerank speech summarize transcriptions translate vision"
)
INVOKE = "barbule.functions.invoking.invoke"


def _stored_names() -> set[str]:
    groups = {**_NAMES, **dict.fromkeys(_PROVIDERS.split(), _OF_PROVIDERS)}
    return {
        f"barbule.functions.{module}.{name}"
        for module, names in groups.items()
        for name in names.split()
    }


_PROGRAM = """
import json, sys
from barbule.functions.function import GENERATIONS
from barbule.functions.registry import lookup

found = {}
for name in json.load(sys.stdin):
    function = lookup(name)
    found[name] = [function.name, "" if function.version_for else function.full_version]
print(json.dumps([found, sorted(GENERATIONS)]))
"""


@pytest.fixture(scope="module")
def fresh_process():
    """Return the functions that a process finds after it only opens a database."""
    # The tool function is first: no other look-up imports its module.
    names = [INVOKE, *sorted(_stored_names())]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_stored_calls_find_builtin_functions(fresh_process):
    found, _ = fresh_process
    assert {name: there for name, (there, _) in found.items()} == {name: name for name in found}


def test_builtin_functions_keep_their_versions(fresh_process):
    found, _ = fresh_process
    others = {name: version for name, (_, version) in found.items() if version != "1"}
    assert others == {INVOKE: "", "barbule.functions.document.split": "2"}


def test_registry_holds_no_other_builtin_functions(fresh_process):
    _, registered = fresh_process
    assert set(registered) == _stored_names() | {INVOKE}


def test_public_names_exist():
    assert [name for name in bb.__all__ if not hasattr(bb, name)] == []


_IN_VERSIONS = {
    "Audio": "barbule.types.kinds.Audio",
    "BarbuleError": "barbule.errors.BarbuleError",
    "Image": "barbule.types.kinds.Image",
    "InsertResult": "barbule.tables.change.InsertResult",
    "ResultSet": "barbule.executor.results.ResultSet",
    "Session": "barbule.session.Session",
    "Table": "barbule.tables.table.Table",
    "Vector": "barbule.types.annotations.Vector",
    "budget": "barbule.executor.budget.budget",
    "connect": "barbule.session.connect",
    "invoke_tools": "barbule.functions.invoking.invoke_tools",
    "iterator": "barbule.functions.udf.iterator",
    "query": "barbule.functions.udf.query",
    "record": "barbule.executor.tape.record",
    "replay": "barbule.executor.tape.replay",
    "tool": "barbule.functions.tools.tool",
    "tools": "barbule.functions.tools.tools",
    "uda": "barbule.functions.uda.uda",
    "udf": "barbule.functions.udf.udf",
}


@pytest.mark.parametrize("name", _IN_VERSIONS)
def test_barbule_names_in_function_versions_are_stable(name):
    # Add a moved class or function to `identity.code._FORMER_MODULES`.
    def reads(value):
        return value, public

    public = getattr(bb, name)
    text = f"def reads(value):\n    return (value, public)\npublic = {_IN_VERSIONS[name]}"
    assert Source(reads).digest() == hashlib.sha256(text.encode()).hexdigest()[:16]
