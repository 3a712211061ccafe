"""The settings of a session: data locations, model providers, and the configuration.

Owns the frozen settings records, the search for `barbule.toml`, its validation and the defaults. It
must not import anything heavy (the first connect waits for it), must not open a connection or
create a folder, and never holds an API key: keys stay in the environment and are only named here.

A configuration file is `barbule.toml`, or the table `[tool.barbule]` of a `pyproject.toml`::

    backend = "postgres://app@db/app"
    vectors = "chroma+http://vectors:8000"
    media   = "s3://bucket/media"
    timezone = "Europe/Berlin"         # of timestamps without a zone; default "UTC"

    [models.openai]                    # a provider prefix
    api_base = "http://localhost:8080/v1"
    api_key_env = "MY_KEY"             # the name of the variable that holds the key
    max_concurrency = 64               # calls in flight at a time
    rpm = 3000                         # requests per minute
    tpm = 1000000                      # tokens per minute
    timeout = 600                      # seconds per call

    [budget]                           # hard caps on model calls
    usd = 5.0
    calls = 1000
    tokens = 1000000

    [ledger]                           # how long answers are kept; default for ever
    max_age_days = 365
    max_bytes = 10000000000            # of all answers; the oldest are dropped first

    [search]                           # how vectors are cached for search
    max_matrix_bytes = 536870912       # memory for exact scans of vectors
    m = 16                             # Chroma's graph, for new indexes:
    ef_construction = 100              # links of a vector, and candidates for them
    ef_search = 200                    # candidates of a search

A file found above the project of the working directory may not set the addresses of providers
(`api_base`), because the API key is sent to that address. The environment variable
`BARBULE_TRUSTED` holds the paths of files that the user trusts.

TOML cannot hold both `media = "…"` and a section `[media]`. With options, write the address in the
section::

    [media]
    url = "s3://bucket/media"
    allow_private = false              # true: allow URLs on private networks
    max_bytes = 268435456              # size limit of a file
    image_format = "png"               # lossless computed images; "webp": small
    cache_bytes = 10737418240          # of local copies; least recently used go first
    timeout = 30                       # seconds to wait for each part of a response
    time_limit = 300                   # seconds for a complete file
    validation = "on_write"            # when media are validated; or "on_read"
    max_elements = 1000000             # XML elements in a DOCX, PPTX or EPUB
    max_cells = 5000000                # in a spreadsheet
    max_pages = 20000                  # in a PDF
    max_text = 100000000               # characters read from a document
    isolate = true                     # read documents in separate processes
    max_memory = 750000000             # bytes per process
    max_seconds = 8                    # CPU seconds per megabyte
"""

from barbule.config.load import checked_timezone, load_settings
from barbule.config.settings import (
    TIMEZONE,
    BudgetSettings,
    LedgerSettings,
    MediaSettings,
    ProviderSettings,
    SearchSettings,
    Settings,
    redact,
)

__all__ = [
    "TIMEZONE",
    "BudgetSettings",
    "LedgerSettings",
    "MediaSettings",
    "ProviderSettings",
    "SearchSettings",
    "Settings",
    "checked_timezone",
    "load_settings",
    "redact",
]
