"""Data sets of others, read and written: folders, WebDataset, Parquet, Hugging Face, COCO, PyTorch.

Owns the formats, one module each. What is read are `Rows`, which tables take; what is written
comes as `ExportRows`. Tables and databases are not known here.
"""
