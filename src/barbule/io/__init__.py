"""Readers and writers of data sets: folders, WebDataset, Parquet, Hugging Face, COCO, PyTorch.

Each format is a module of `formats`. Readers return `Rows`, which tables accept; writers receive
`ExportRows`. Tables and databases are not known here.
"""
