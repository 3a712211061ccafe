"""Image files: checked, decoded, converted and encoded."""
