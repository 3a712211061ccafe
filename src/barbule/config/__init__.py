"""The settings of a session: data locations, model providers, and the configuration.

Owns the frozen settings records, the search for `barbule.toml`, its validation and the defaults. It
must not import anything heavy (the first connect waits for it), must not open a connection or
create a folder, and never holds an API key: keys stay in the environment and are only named here.

A configuration file is `barbule.toml`, or the table `[tool.barbule]` of a `pyproject.toml`::

    backend = "postgres://app@db/app"
    vectors = "chroma+http://vectors:8000"
    media   = "s3://bucket/media"
    timezone = "Europe/Berlin"         # of moments that have no zone; "UTC" without

    [models.openai]                    # a provider prefix
    api_base = "http://localhost:8080/v1"
    api_key_env = "MY_KEY"             # the name of the variable that holds the key
    max_concurrency = 64               # calls in flight at a time
    rpm = 3000                         # requests a minute
    tpm = 1000000                      # tokens a minute
    timeout = 600                      # seconds that one call may take

    [budget]                           # hard caps on model calls
    usd = 5.0
    calls = 1000
    tokens = 1000000

    [ledger]                           # how long answers of calls are kept; for ever without
    max_age_days = 365
    max_bytes = 10000000000            # of all answers; the oldest go first

    [search]                           # how vectors are kept for search
    max_matrix_bytes = 536870912       # memory for vectors that are scanned exactly
    m = 16                             # Chroma's graph, of indexes made from then on:
    ef_construction = 100              # links of a vector, and how widely they are chosen
    ef_search = 200                    # how widely a search looks

A file found above the project of the working directory may not set the addresses of providers
(`api_base`), because the API key is sent to that address. The environment variable
`BARBULE_TRUSTED` holds the paths of files that the user trusts.

TOML cannot hold both `media = "…"` and a section `[media]`. With options, write the address in the
section::

    [media]
    url = "s3://bucket/media"
    allow_private = false              # true: URLs on private networks may be fetched
    max_bytes = 268435456              # the largest file that is accepted
    image_format = "png"               # computed images exact; "webp": small
    cache_bytes = 10737418240          # of local copies; those unused for longest go first
    timeout = 30                       # seconds to wait for each part of an answer
    time_limit = 300                   # seconds that the whole of a file may take
    validation = "on_write"            # when media are looked at; "on_read": not before
    max_elements = 1000000             # of XML in a DOCX, PPTX or EPUB
    max_cells = 5000000                # of a spreadsheet
    max_pages = 20000                  # of a PDF
    max_text = 100000000               # characters that are read of a document
    isolate = true                     # documents are read in processes of their own
    max_memory = 750000000             # bytes that such a process may take
    max_seconds = 8                    # seconds of a processor, for each megabyte
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
