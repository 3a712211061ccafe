"""Python values and Arrow arrays: how one becomes the other, by data type."""
