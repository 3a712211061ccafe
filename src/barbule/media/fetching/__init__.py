"""Downloads: local files for paths, URLs, data URIs and objects in buckets."""
