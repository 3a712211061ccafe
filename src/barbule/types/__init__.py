"""The data types of barbule: Ibis data types, and media and JSON types that extend them.

Defines the type names that users write, the conversion of Python annotations, classes and data to
data types and schemas, and the storage form of each type: what a backend stores. Knows no tables
and no expressions.
"""

from __future__ import annotations

from barbule.types.annotations import (
    Array,
    ArrayType,
    Struct,
    Vector,
    dtype,
)
from barbule.types.class_fields import fields_of, values_of
from barbule.types.data_types import (
    UUID,
    Audio,
    Binary,
    Bool,
    Date,
    Document,
    Duration,
    Float,
    Image,
    Int,
    Json,
    Media,
    String,
    Time,
    Timestamp,
    Video,
)
from barbule.types.declarations import TypeDeclaration, declaration, holds_media
from barbule.types.declarations.storage_forms import storage, storage_schema
from barbule.types.inference.schema_inference import holds_rows, infer
from barbule.types.schemas import choices_of, defaults_of, schema, unsupported_reason

__all__ = [
    "UUID",
    "Array",
    "ArrayType",
    "Audio",
    "Binary",
    "Bool",
    "Date",
    "Document",
    "Duration",
    "Float",
    "Image",
    "Int",
    "Json",
    "Media",
    "String",
    "Struct",
    "Time",
    "Timestamp",
    "TypeDeclaration",
    "Vector",
    "Video",
    "choices_of",
    "declaration",
    "defaults_of",
    "dtype",
    "fields_of",
    "holds_media",
    "holds_rows",
    "infer",
    "schema",
    "storage",
    "storage_schema",
    "unsupported_reason",
    "values_of",
]
