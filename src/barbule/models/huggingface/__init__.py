"""Local models with weights from the Hugging Face hub or a folder."""
