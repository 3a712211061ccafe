"""How large files of rows become once they are decompressed and decoded, before they are."""
