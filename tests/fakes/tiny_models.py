"""Transformers models with tiny random weights, saved to folders like real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

SENTENCES = (
    "a cat sits on the table and there is no dog of this photo picture a bird feather red green "
    "blue an example good bad user assistant question answer translate one to English German"
)
COCO = {0: "N/A", 1: "cat", 2: "dog", 3: "feather"}


def tokenizer(**options: Any) -> Any:
    """Create a word tokenizer; with `pair`, with the start and end tokens of BERT."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *options.pop("more", [])]
    words = dict.fromkeys(SENTENCES.lower().split())
    vocabulary = {word: n for n, word in enumerate([*special, *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if options.pop("pair", True):
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B:1 [SEP]:1",
            special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        additional_special_tokens=special[4:],
        model_max_length=options.pop("longest", 32),
        **options,
    )


def _save(folder: Path, *pieces: Any) -> str:
    for piece in pieces:
        piece.save_pretrained(folder)
    return str(folder)


def _seeded() -> None:
    import torch

    torch.manual_seed(7)


_SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def _bert_config(**more: Any) -> Any:
    from transformers import BertConfig

    size = {"vocab_size": len(tokenizer()), "max_position_embeddings": 40}
    return BertConfig(**size, **_SMALL, pad_token_id=0, **more)


def bert(folder: Path) -> str:
    """Save a plain text transformer."""
    from transformers import BertModel

    _seeded()
    return _save(folder, BertModel(_bert_config()), tokenizer())


def classifier(folder: Path, labels: list[str], **more: Any) -> str:
    """Save a classifier for texts or pairs of texts."""
    from transformers import BertForSequenceClassification

    _seeded()
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    model = BertForSequenceClassification(_bert_config(num_labels=len(labels), **names, **more))
    return _save(folder, model, tokenizer())


def gpt2(folder: Path, *, chat: bool = False) -> str:
    """Save a causal language model; with `chat`, one for conversations."""
    from transformers import GPT2Config, GPT2LMHeadModel

    _seeded()
    reader = tokenizer(pair=False)
    if chat:
        reader.chat_template = (
            "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}assistant"
        )
    config = GPT2Config(
        vocab_size=len(reader), n_embd=16, n_layer=1, n_head=2, n_positions=64,
        bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    return _save(folder, GPT2LMHeadModel(config), reader)


def t5(folder: Path) -> str:
    """Save a text-to-text model."""
    from transformers import T5Config, T5ForConditionalGeneration

    _seeded()
    config = T5Config(
        vocab_size=len(tokenizer()), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        decoder_start_token_id=0, pad_token_id=0, eos_token_id=3,
        task_specific_params={"summarization": {"prefix": "example : "}},
    )  # fmt: skip
    return _save(folder, T5ForConditionalGeneration(config), tokenizer())


def m2m(folder: Path) -> str:
    """Save a multilingual translation model."""
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    _seeded()
    reader = tokenizer(more=["eng_Latn", "deu_Latn"])
    config = M2M100Config(
        vocab_size=len(reader), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=64,
        pad_token_id=0, bos_token_id=2, eos_token_id=3, decoder_start_token_id=3,
    )  # fmt: skip
    return _save(folder, M2M100ForConditionalGeneration(config), reader)


def clip(folder: Path) -> str:
    """Save a CLIP model: texts and images in one space of 12 dimensions."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    _seeded()
    text = {
        **_SMALL, "vocab_size": len(tokenizer()), "max_position_embeddings": 32,
        "eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    config = CLIPConfig(
        text_config=text,
        vision_config={**_SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=12,
    )
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    return _save(folder, CLIPModel(config), CLIPProcessor(images, tokenizer()))


def detr(folder: Path) -> str:
    """Save an object detector with the labels of `COCO`."""
    from transformers import DetrConfig, DetrForObjectDetection, DetrImageProcessor, ResNetConfig

    _seeded()
    backbone = ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1],
        layer_type="basic", out_features=["stage4"],
    )  # fmt: skip
    config = DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
        backbone_config=backbone, d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_queries=5, id2label=COCO,
        label2id={name: n for n, name in COCO.items()},
    )  # fmt: skip
    images = DetrImageProcessor(size={"shortest_edge": 48, "longest_edge": 64})
    return _save(folder, DetrForObjectDetection(config), images)


def vit(folder: Path) -> str:
    """Save an image classifier with three classes."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    _seeded()
    config = ViTConfig(
        **_SMALL, image_size=32, patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "bird"}, label2id={"cat": 0, "dog": 1, "bird": 2},
    )  # fmt: skip
    images = ViTImageProcessor(size={"height": 32, "width": 32})
    return _save(folder, ViTForImageClassification(config), images)


def blip(folder: Path) -> str:
    """Save an image captioning model."""
    from transformers import (
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )  # fmt: skip

    _seeded()
    text = {
        **_SMALL, "vocab_size": len(tokenizer()), "encoder_hidden_size": 16,
        "bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0,
        "max_position_embeddings": 64,
    }  # fmt: skip
    config = BlipConfig(
        text_config=text, vision_config={**_SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=12, image_text_hidden_size=12,
    )  # fmt: skip
    images = BlipImageProcessor(size={"height": 32, "width": 32})
    return _save(folder, BlipForConditionalGeneration(config), BlipProcessor(images, tokenizer()))


def whisper(folder: Path) -> str:
    """Save a speech recognition model with random output."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import ByteLevel
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizerFast,
    )  # fmt: skip

    _seeded()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: n for n, letter in enumerate(letters)}
    special = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>",
               "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>",
               "<|notimestamps|>"]  # fmt: skip
    times = [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
    made = Tokenizer(models.BPE(vocabulary, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = ByteLevel()
    made.add_special_tokens(special)
    made.add_tokens(times)
    reader = WhisperTokenizerFast(
        tokenizer_object=made, unk_token="<|endoftext|>", bos_token="<|endoftext|>",
        eos_token="<|endoftext|>", pad_token="<|endoftext|>",
        additional_special_tokens=special[1:],
    )  # fmt: skip
    ids = {name: reader.convert_tokens_to_ids(name) for name in special}
    end = ids["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=len(reader), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, num_mel_bins=80, max_source_positions=1500, max_target_positions=64,
        decoder_start_token_id=ids["<|startoftranscript|>"], bos_token_id=end, eos_token_id=end,
        pad_token_id=end, begin_suppress_tokens=None, suppress_tokens=None,
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=ids["<|startoftranscript|>"], bos_token_id=end, eos_token_id=end,
        pad_token_id=end, max_length=24, is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"], "<|de|>": ids["<|de|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"], max_initial_timestamp_index=50,
        prev_sot_token_id=ids["<|startofprev|>"], alignment_heads=[[0, 0], [0, 1]],
    )  # fmt: skip
    return _save(folder, model, WhisperProcessor(WhisperFeatureExtractor(), reader))
