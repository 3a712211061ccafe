from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from barbule.config import (
    BudgetSettings,
    MediaSettings,
    ProviderSettings,
    Settings,
    load_settings,
    redact,
)
from barbule.errors import ConfigurationError

SECRET = "sk-7f3c9e-do-not-show"


@pytest.fixture
def user(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "project"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def load(user: Path, project: Path):
    def loaded(
        toml: str | None = None, *, env: dict[str, str] | None = None, **arguments
    ) -> Settings:
        if toml is not None:
            (project / "barbule.toml").write_text(toml, encoding="utf-8")
        arguments.setdefault("cwd", project)
        return load_settings(environ={"HOME": str(user), **(env or {})}, **arguments)

    return loaded


def refusal(load, *args, **kwargs) -> str:
    with pytest.raises(ConfigurationError, match=r".") as caught:
        load(*args, **kwargs)
    text = str(caught.value)
    assert SECRET not in text + repr(caught.value) + repr(vars(caught.value))
    return text


# ---------------------------------------------------------------- defaults


def test_defaults_are_in_the_home_folder(load, user):
    assert load() == Settings(
        home=user / ".barbule",
        backend=f"duckdb://{user}/.barbule/barbule.duckdb",
        vectors=f"chroma://{user}/.barbule/vectors",
        media=f"file://{user}/.barbule/media",
        models={},
        media_options=MediaSettings(allow_private=False, max_bytes=268_435_456),
        source=None,
        budget=BudgetSettings(usd=None, calls=None),
    )


def test_loading_creates_no_files(load, user, project):
    load(backend="data/app.duckdb")
    assert not any(user.iterdir())
    assert not any(project.iterdir())


def test_home_moves_every_default(load, project):
    settings = load(home="here")
    assert settings.home == project / "here"
    assert settings.backend == f"duckdb://{project}/here/barbule.duckdb"
    assert settings.vectors == f"chroma://{project}/here/vectors"
    assert settings.media == f"file://{project}/here/media"


def test_home_with_url_characters_is_rejected(load):
    assert "'?' or '#'" in refusal(load, home="/data/what?")


def test_vectors_and_media_are_beside_the_database_file(load, project):
    settings = load(backend="duckdb://data/app.duckdb?threads=2")
    assert settings.backend == f"duckdb://{project}/data/app.duckdb?threads=2"
    assert settings.vectors == f"chroma://{project}/data/app.vectors"
    assert settings.media == f"file://{project}/data/app.media"


def test_explicit_default_database_changes_nothing(load):
    default = load()
    assert load(backend=default.backend) == default


def test_explicit_locations_override_those_beside_the_database(load, project):
    settings = load(backend="app.duckdb", env={"BARBULE_MEDIA": "s3://bucket/media"})
    assert settings.media == "s3://bucket/media"
    assert settings.vectors == f"chroma://{project}/app.vectors"


def test_file_can_name_the_database(load, project):
    settings = load('backend = "duckdb://data/app.duckdb"', cwd=project)
    assert settings.vectors == f"chroma://{project}/data/app.vectors"


@pytest.mark.parametrize("url", ["duckdb://", "duckdb:", "duckdb://:memory:", "sqlite://"])
def test_in_memory_database_keeps_everything_in_memory(load, url):
    settings = load(backend=url)
    assert settings.backend in {"duckdb://", "sqlite://"}
    assert settings.vectors == "exact:"
    assert settings.media.startswith("memory://")


def test_server_database_keeps_vectors_and_media_in_the_home(load, user):
    settings = load(backend="postgres://app@db/app")
    assert settings.backend == "postgres://app@db/app"
    assert settings.vectors == f"chroma://{user}/.barbule/vectors"


# ---------------------------------------------------------------- precedence


def test_arguments_override_environment_file_and_defaults(load, user):
    toml = 'backend = "postgres://file"\nvectors = "exact:"\nmedia = "s3://file"'
    env = {"BARBULE_BACKEND": "postgres://env", "BARBULE_MEDIA": "s3://env"}
    settings = load(toml, env=env, backend="postgres://argument")
    assert settings.backend == "postgres://argument"
    assert settings.media == "s3://env"
    assert settings.vectors == "exact:"
    assert settings.home == user / ".barbule"


def test_home_is_read_from_environment_and_file(load, project):
    assert load('home = "h"', env={"BARBULE_HOME": "/e"}).home == Path("/e")
    assert load('home = "h"').home == project / "h"


def test_empty_variable_counts_as_unset(load, user):
    assert load(env={"BARBULE_HOME": ""}).home == user / ".barbule"


def test_file_is_searched_in_parent_folders(load, project):
    folder = project / "a" / "b"
    folder.mkdir(parents=True)
    settings = load('vectors = "chroma://v"', cwd=folder)
    assert settings.source == project / "barbule.toml"
    assert settings.vectors == f"chroma://{project}/v"


def test_nearest_file_is_the_only_one_read(load, project):
    folder = project / "a"
    folder.mkdir()
    (folder / "barbule.toml").write_text('media = "s3://near"')
    settings = load('media = "s3://far"\nvectors = "exact:"', cwd=folder)
    assert settings.media == "s3://near"
    assert settings.vectors != "exact:"


def test_pyproject_is_read_and_barbule_toml_wins(load, project):
    pyproject = project / "pyproject.toml"
    pyproject.write_text('[tool.barbule]\nmedia = "s3://pyproject"\n')
    settings = load()
    assert (settings.media, settings.source) == ("s3://pyproject", pyproject)
    settings = load('media = "s3://own"')
    assert (settings.media, settings.source) == ("s3://own", project / "barbule.toml")


@pytest.mark.parametrize("text", ["[project]\nname = 'x'\n", "[tool.ruff]\n", "tool = 1\n"])
def test_pyproject_without_a_barbule_table_is_skipped(load, project, text):
    (project / "pyproject.toml").write_text(text)
    (project.parent / "barbule.toml").write_text('media = "s3://above"')
    assert load().source == project.parent / "barbule.toml"


def test_home_folder_is_searched_last(load, user, project):
    (user / ".barbule").mkdir()
    (user / ".barbule" / "barbule.toml").write_text('media = "store"')
    settings = load()
    assert settings.source == user / ".barbule" / "barbule.toml"
    assert settings.media == f"file://{user}/.barbule/store"
    assert load('media = "s3://project"').source == project / "barbule.toml"


def test_environment_and_working_directory_are_the_defaults(monkeypatch, project):
    for name in [name for name in os.environ if name.startswith("BARBULE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BARBULE_HOME", "h")
    monkeypatch.chdir(project)
    assert load_settings().home == project.resolve() / "h"


# ---------------------------------------------------------------- paths


def test_relative_paths_follow_the_file_or_the_working_directory(load, project):
    folder = project / "a"
    folder.mkdir()
    settings = load('backend = "duckdb://../up.duckdb"', cwd=folder, media="store")
    assert settings.backend == f"duckdb://{project.parent}/up.duckdb"
    assert settings.media == f"file://{folder}/store"
    settings = load(cwd=folder, env={"BARBULE_VECTORS": "chroma://v"})
    assert settings.vectors == f"chroma://{folder}/v"


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("backend", "duckdb://~/x.duckdb", "duckdb://{user}/x.duckdb"),
        ("backend", "~/x.duckdb", "duckdb://{user}/x.duckdb"),
        ("vectors", "chroma://~/v", "chroma://{user}/v"),
        ("media", "file://~/m", "file://{user}/m"),
        ("media", "~", "file://{user}"),
    ],
)
def test_tilde_is_the_home_of_the_user(load, user, name, address, expected):
    assert getattr(load(**{name: address}), name) == expected.format(user=user)


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("backend", "x.ddb", "duckdb://{cwd}/x.ddb"),
        ("backend", Path("/d/x.duckdb"), "duckdb:///d/x.duckdb"),
        ("backend", "duckdb:x.db", "duckdb://{cwd}/x.db"),
        ("backend", "DuckDB:///d/x.db", "duckdb:///d/x.db"),
        ("backend", "duckdb:////d//x.db", "duckdb:///d/x.db"),
        ("backend", "sqlite:///d/x.db", "sqlite:///d/x.db"),
        ("backend", "x.sqlite", "sqlite://{cwd}/x.sqlite"),
        ("backend", "duckdb://md:cloud", "duckdb://md:cloud"),
        ("backend", "postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("backend", "trino://u@h:8080/c/s", "trino://u@h:8080/c/s"),
        ("vectors", "exact", "exact:"),
        ("vectors", "exact://", "exact:"),
        ("vectors", "chroma:///", "chroma:///"),
        ("vectors", "chroma+http://h:8000", "chroma+http://h:8000"),
        ("vectors", "chroma+https://h", "chroma+https://h"),
        ("media", "a b/m", "file://{cwd}/a b/m"),
        ("media", "local:///m", "file:///m"),
        ("media", "gs://bucket/m", "gs://bucket/m"),
        ("media", "memory://", "memory://"),
        ("media", "abfs://c@account.host/m", "abfs://c@account.host/m"),
    ],
)
def test_addresses_are_normalized(load, project, name, address, expected):
    assert getattr(load(**{name: address}), name) == expected.format(cwd=project)


@pytest.mark.parametrize(
    ("name", "address", "message"),
    [
        ("backend", "duckbd:///x", "unknown scheme 'duckbd'"),
        ("backend", "duckbd:///x", "Did you mean 'duckdb'?"),
        ("backend", "duckbd:///x", "Allowed schemes: duckdb, postgres, postgresql. If"),
        ("backend", "app.csv", "neither an Ibis URL nor the path of a database file"),
        ("backend", "duckdb:///a#b.duckdb", "'?' or '#'"),
        ("vectors", "chroma+htp://h", "Did you mean 'chroma+http'?"),
        ("vectors", "./vectors", "is not a URL"),
        ("vectors", "faiss:///v", "Allowed schemes: chroma, chroma+http, chroma+https, exact."),
        ("vectors", "exact:///v", "exact search takes none"),
        ("vectors", "chroma:", "names no folder"),
        ("vectors", "chroma+http://", "names no host"),
        ("vectors", "chroma+https://:8000", "names no host"),
        ("media", "file://", "names no folder"),
        ("media", "s3:bucket", "neither a path nor a URL"),
    ],
)
def test_invalid_addresses_are_rejected(load, name, address, message):
    text = refusal(load, **{name: address})
    assert message in text
    assert text.startswith(f"the argument {name}= ")
    assert f"(value: {address!r})" in text


def test_invalid_address_error_names_its_source(load, project):
    variable = refusal(load, env={"BARBULE_VECTORS": "faiss:x"})
    assert variable.startswith("the environment variable BARBULE_VECTORS ")
    file = refusal(load, 'vectors = "faiss:x"')
    assert file.startswith(f"{project / 'barbule.toml'}: vectors ")


@pytest.mark.parametrize(("value", "kind"), [(3, "type 'int'"), ("", "an empty string")])
def test_arguments_must_be_strings_or_paths(load, value, kind):
    assert kind in refusal(load, backend=value)


# ---------------------------------------------------------------- the file


def test_complete_file_is_read(load):
    settings = load("""
        backend = "postgres://app@db/app"
        vectors = "chroma+http://vectors:8000"

        [media]
        url = "s3://bucket/media"
        allow_private = true
        max_bytes = 1000

        [models.openai]
        api_base = "http://localhost:8080/v1"
        api_key_env = "MY_KEY"
        max_concurrency = 8
        rpm = 3000
        tpm = 100000
        timeout = 1.5

        [models.ollama]
        timeout = 5

        [budget]
        usd = 2
        calls = 0
        """)
    assert settings.media == "s3://bucket/media"
    assert settings.media_options == MediaSettings(allow_private=True, max_bytes=1000)
    assert settings.budget == BudgetSettings(usd=2, calls=0)
    assert settings.models == {
        "openai": ProviderSettings("http://localhost:8080/v1", "MY_KEY", 8, 3000, 100_000, 1.5),
        "ollama": ProviderSettings(timeout=5),
    }
    assert settings.provider("openai").rpm == 3000
    assert settings.provider("anthropic") == ProviderSettings()


def test_media_options_without_an_address_keep_the_default(load, user):
    settings = load("[media]\nallow_private = true")
    assert settings.media == f"file://{user}/.barbule/media"
    assert settings.media_options.allow_private


def test_settings_are_frozen(load):
    settings = load("[models.openai]\nrpm = 1")
    with pytest.raises(FrozenInstanceError, match="backend"):
        settings.backend = "duckdb://"
    with pytest.raises(FrozenInstanceError, match="rpm"):
        settings.models["openai"].rpm = 2
    with pytest.raises(TypeError, match="item assignment"):
        settings.models["other"] = ProviderSettings()


@pytest.mark.parametrize(
    ("toml", "key", "message"),
    [
        ("[models.openai]\nrpm = 'fast'", "models.openai.rpm", "an integer above 0"),
        ("[models.openai]\nrpm = 'fast'", "models.openai.rpm", "(value: 'fast')"),
        ("[models.openai]\nrpm = 0", "models.openai.rpm", "(value: 0)"),
        ("[models.openai]\ntpm = 1.5", "models.openai.tpm", "(value: 1.5)"),
        ("[models.x]\nmax_concurrency = true", "models.x.max_concurrency", "(value: True)"),
        ("[models.x]\ntimeout = inf", "models.x.timeout", "a number of seconds above 0"),
        ("[models.x]\ntimeout = -1", "models.x.timeout", "(value: -1)"),
        ("[models.x]\napi_base = 'localhost:1'", "models.x.api_base", "http:// or https://"),
        ("[models.x]\napi_key_env = 'a-b'", "models.x.api_key_env", "environment variable"),
        ("[media]\nallow_private = 1", "media.allow_private", "true or false"),
        ("[media]\nmax_bytes = -5", "media.max_bytes", "(value: -5)"),
        ("[media]\nurl = 1", "media.url", "a non-empty string"),
        ("[budget]\nusd = -0.5", "budget.usd", "0 or above"),
        ("[budget]\ncalls = 1.0", "budget.calls", "an integer of 0 or above"),
        ("backend = ''", "backend", "a non-empty string"),
        ("home = 3", "home", "(value: 3)"),
        ("vectors = ['exact:']", "vectors", "a non-empty string"),
        ("models = 1", "models", "must be a table. Write it as a section [models]"),
        ("[models]\nopenai = 'x'", "models.openai", "[models.openai]"),
        ("budget = 5", "budget", "must be a table"),
        ("timezone = 'Berlin'", "timezone", 'the name of a time zone, like "Europe/Berlin"'),
        ("timezone = 1", "timezone", "(value: 1)"),
        ("backnd = 'duckdb://'", "backnd", "Did you mean 'backend'?"),
        (
            "[database]",
            "database",
            (
                "Allowed keys: home, backend, vectors, media, models, budget, search, ledger, "
                "lock_timeout, timezone."
            ),
        ),
        ("[models.openai]\nrmp = 1", "models.openai.rmp", "Did you mean 'rpm'?"),
        ("[media]\nmax_byte = 1", "media.max_byte", "Allowed keys: url, allow_private, max_bytes"),
        ("[budget]\neur = 1", "budget.eur", "Allowed keys: usd, calls, tokens."),
    ],
)
def test_invalid_keys_and_values_are_reported(load, project, toml, key, message):
    text = refusal(load, toml)
    assert text.startswith(f"{project / 'barbule.toml'}: {key} ")
    assert message in text


def test_timezone_variable_overrides_the_file(load):
    assert load("").timezone == "UTC"
    assert load("timezone = 'Europe/Berlin'").timezone == "Europe/Berlin"
    settings = load("timezone = 'Europe/Berlin'", env={"BARBULE_TIMEZONE": "Asia/Tokyo"})
    assert settings.timezone == "Asia/Tokyo"
    with pytest.raises(ConfigurationError, match="variable BARBULE_TIMEZONE must be the name of"):
        load("", env={"BARBULE_TIMEZONE": "../etc"})


def test_huge_numbers_are_accepted(load):
    assert load(f"[models.x]\ntimeout = {10**400}").provider("x").timeout == 10**400


def test_pyproject_keys_are_named_in_full(load, project):
    (project / "pyproject.toml").write_text("[tool.barbule.models.openai]\nrpm = -1\n")
    text = refusal(load)
    assert text.startswith(f"{project / 'pyproject.toml'}: tool.barbule.models.openai.rpm must be")
    (project / "pyproject.toml").write_text("[tool.barbule]\nbackend = 1\n")
    assert "pyproject.toml: tool.barbule.backend must be" in refusal(load)
    (project / "pyproject.toml").write_text("[tool]\nbarbule = 1\n")
    assert "pyproject.toml: tool.barbule must be a table" in refusal(load)


def test_invalid_toml_error_names_file_and_line(load, project):
    text = refusal(load, f'media = "s3://b"\nkey = "{SECRET}\n')
    assert text.startswith(f"{project / 'barbule.toml'} is not valid TOML")
    assert "line 2" in text


def test_media_as_string_and_table_is_invalid(load):
    for order in ('media = "s3://b"\n[media]\nmax_bytes = 1', "[a]\nb = 1\n[a.b]\nc = 1"):
        text = refusal(load, order)
        assert "not valid TOML" in text
        assert (
            "keep one of them. If the file has a section [media], write the URL of the "
            "media store in it" in text
        )
    assert "line 2" in refusal(load, 'media = "s3://b"\n[media]\nmax_bytes = 1')


@pytest.mark.parametrize(
    "text",
    ["media.url = 'x'\nmedia = 'y'", "[media]\n[media]", "media = 'x'\nmedia = 'y'"],
    ids=["dotted", "section", "key"],
)
def test_duplicate_name_is_reported(load, text):
    assert "keep one of them" in refusal(load, text)


def test_wrong_encoding_error_names_file_and_line(load, project):
    (project / "barbule.toml").write_bytes(b'# ok\nmedia = "f\xfcr"\n')
    assert "barbule.toml is not UTF-8 text (at line 2)" in refusal(load)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that root cannot read")
def test_unreadable_file_is_reported(load, project):
    (project / "barbule.toml").symlink_to("/proc/self/mem")
    text = refusal(load)
    assert text.startswith(f"{project / 'barbule.toml'} cannot be read: ")


# ---------------------------------------------------------------- the environment


def test_unknown_variables_are_rejected(load):
    text = refusal(load, env={"BARBULE_BACKENDS": SECRET})
    assert text.startswith("the environment variable BARBULE_BACKENDS is not supported.")
    assert "Did you mean 'BARBULE_BACKEND'?" in text
    assert "BARBULE_HOME, BARBULE_BACKEND, BARBULE_VECTORS, BARBULE_MEDIA" in text


def test_variables_of_tests_and_others_are_ignored(load):
    assert load(env={"BARBULE_TEST_POSTGRES": "x", "BARBULED": "y"}) == load()


# ---------------------------------------------------------------- secrets


@pytest.mark.parametrize(
    "key",
    [
        "api_key",
        "apikey",
        "API-KEY",
        "key",
        "token",
        "openai_api_key",
        "client_secret",
        "password",
    ],
)
@pytest.mark.parametrize("table", ["", "[models.openai]\n", "[media]\n"])
def test_literal_key_is_rejected_and_not_shown(load, table, key):
    text = refusal(load, f'{table}{key} = "{SECRET}"')
    assert "would store a secret in a file" in text
    assert "api_key_env" in text


@pytest.mark.parametrize(
    "toml",
    [
        f'[models.openai]\napi_key_env = "{SECRET}"',
        f'[models.openai]\napi_base = "{SECRET}"',
        f'[models]\nopenai = "{SECRET}"',
        f'models = "{SECRET}"',
        f'[models.openai]\nrmp = "{SECRET}"',
        f'backend = {{ url = "postgres://u:{SECRET}@h/d" }}',
        f'backend = "postgrse://u:{SECRET}@h/d"',
        f'backend = "host=h password={SECRET}"',
        f'vectors = "faiss://h?token={SECRET}"',
        f'media = ["s3://u:{SECRET}@b"]',
    ],
)
def test_errors_show_no_secret(load, toml):
    refusal(load, toml)


def test_repr_shows_no_secret(load):
    settings = load(
        f"""
        backend = "postgres://u:{SECRET}@h/d"
        vectors = "chroma+http://{SECRET}@h:8000"
        media = "s3://bucket/m?secret={SECRET}"
        [models.openai]
        api_base = "https://u:{SECRET}@h/v1"
        """
    )
    assert SECRET in settings.backend
    text = f"{settings!r} {settings} {settings.models['openai']!r}"
    assert SECRET not in text
    assert "backend='postgres://u:***@h/d'" in text
    assert "'openai': ProviderSettings(api_base='https://u:***@h/v1', api_key_env=None" in text


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgres://u:a@b/c:d@h/x", "postgres://u:***@h/x"),
        ("postgres://app@db/app", "postgres://app@db/app"),
        ("http://token@h/v1", "http://***@h/v1"),
        ("duckdb:///data/a:b@c.duckdb", "duckdb:///data/a:b@c.duckdb"),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("s3://b/m?Access_Key=1&region=x", "s3://b/m?Access_Key=***&region=x"),
        ("host=h password=1 user=u", "host=h password=*** user=u"),
    ],
)
def test_urls_are_redacted(text, redacted):
    assert redact(text) == redacted


# ---------------------------------------------------------------- weight


def test_config_import_loads_no_third_party_package():
    code = (
        "import sys, barbule.config;"
        "tops = {name.partition('.')[0] for name in sys.modules};"
        "print(*(tops & {'ibis', 'pydantic', 'fsspec', 'numpy', 'pandas', 'pyarrow', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


FOREIGN_ADDRESS = (
    '[models.openai]\napi_base = "https://collects.example/v1"\napi_key_env = "ANY_SECRET"\n'
)


def test_file_above_the_project_cannot_redirect_keys(load, project, user):
    file = project.parent / "barbule.toml"
    file.write_text(FOREIGN_ADDRESS)
    text = refusal(load)
    assert str(file) in text
    assert "BARBULE_TRUSTED" in text
    (project / ".git").mkdir()
    assert str(file) in refusal(load)
    file.write_text(FOREIGN_ADDRESS.replace("https://collects.example", "http://127.0.0.1:9"))
    assert str(file) in refusal(load)  # any local process may listen there
    file.write_text('[models.openai]\napi_key_env = "ANY_SECRET"\nrpm = 5\n')
    assert load().models["openai"].api_key_env == "ANY_SECRET"  # sent to OpenAI only


@pytest.mark.parametrize("mark", [".git", ".hg", "pyproject.toml", "requirements.txt"])
def test_project_file_can_set_model_addresses(load, project, mark):
    (project.parent / "barbule.toml").write_text(FOREIGN_ADDRESS)
    (project.parent / mark).touch()
    assert load().models["openai"].api_key_env == "ANY_SECRET"


def test_repository_file_covers_its_packages(load, project):
    (project.parent / "barbule.toml").write_text(FOREIGN_ADDRESS)
    (project.parent / ".git").mkdir()
    (project / "pyproject.toml").touch()
    assert load().models["openai"].api_base == "https://collects.example/v1"


def test_file_in_the_working_directory_or_home_can_set_addresses(load, project, user):
    assert load(FOREIGN_ADDRESS).models["openai"].api_base == "https://collects.example/v1"
    (project / "barbule.toml").unlink()
    (user / ".barbule").mkdir()
    (user / ".barbule" / "barbule.toml").write_text(FOREIGN_ADDRESS)
    assert load().models["openai"].api_base == "https://collects.example/v1"


def test_trusted_file_can_set_addresses(load, project, tmp_path):
    file = project.parent / "barbule.toml"
    file.write_text(FOREIGN_ADDRESS)
    trusted = os.pathsep.join([str(tmp_path / "another.toml"), str(file)])
    assert load(env={"BARBULE_TRUSTED": trusted}).models["openai"].api_key_env == "ANY_SECRET"
    assert str(file) in refusal(load, env={"BARBULE_TRUSTED": str(tmp_path)})
    assert str(file) in refusal(load, env={"BARBULE_TRUSTED": os.pathsep})


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="gives a file away")
def test_parent_file_of_another_user_is_not_trusted(load, project):
    file = project.parent / "barbule.toml"
    file.write_text(FOREIGN_ADDRESS)
    (project.parent / ".git").mkdir()
    os.chown(file, 12345, -1)
    assert str(file) in refusal(load)
    os.chown(project, 12345, -1)  # as in a container, where another user owns everything
    assert load().models["openai"].api_key_env == "ANY_SECRET"
