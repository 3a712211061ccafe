"""Which configuration files may set the addresses of model servers.

An API key from the environment is sent to that address, so a file that others may have put into a
parent folder must not set it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from barbule.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

__all__ = ["TRUSTED_VARIABLE", "check_trusted"]

TRUSTED_VARIABLE: Final = "BARBULE_TRUSTED"
_REPOSITORIES: Final = (".git", ".hg")
_PROJECTS: Final = ("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")


def check_trusted(
    source: Path,
    models: Mapping[str, Mapping[str, Any]],
    *,
    cwd: Path,
    home: Path,
    trusted: str | None,
) -> None:
    """Refuse addresses of model servers in a file that does not belong to the user.

    The user's own files are those in the working directory, in its project, in barbule's home
    folder, and those in `trusted`. A file in a parent of the working directory must also be owned
    by the user, by the owner of that directory or by the administrator.

    Parameters
    ----------
    source, models
        The file, and its tables of providers.
    cwd, home
        The working directory, and the home folder of barbule.
    trusted
        Paths of files that the user trusts, separated as in PATH.

    Raises
    ------
    ConfigurationError
        If such a file has an `api_base`.
    """
    providers = [name for name, keys in models.items() if "api_base" in keys]
    if not providers or source.parent in {cwd, home} or _is_trusted(source, trusted):
        return
    if _is_owned_by_user(source, cwd) and source.parent in _project_folders(cwd):
        return
    raise ConfigurationError(
        f"{source} sets the address of the provider {providers[0]!r}, to which an API key from "
        "the environment is sent, but the file is neither in the working directory nor in its "
        "project.",
        hint=f"If you trust the file, set the environment variable {TRUSTED_VARIABLE} to its "
        f"path, or move it to {str(home)!r} or to the working directory.",
    )


def _is_trusted(source: Path, trusted: str | None) -> bool:
    names = (trusted or "").split(os.pathsep)
    return any(os.path.realpath(name) == os.path.realpath(source) for name in names if name)


def _project_folders(cwd: Path) -> set[Path]:
    """Return the folders from the working directory up to the root of its project."""
    folders = [cwd, *cwd.parents]
    for marks in (_REPOSITORIES, _PROJECTS):
        for index, folder in enumerate(folders):
            if _contains_any(folder, marks):
                return set(folders[: index + 1])
    return {cwd}


def _contains_any(folder: Path, names: Iterable[str]) -> bool:
    return any(os.path.exists(folder / name) for name in names)  # noqa: PTH110 - never raises


def _is_owned_by_user(source: Path, cwd: Path) -> bool:
    if not hasattr(os, "getuid"):
        return True
    return source.stat().st_uid in {os.getuid(), 0, cwd.stat().st_uid}
