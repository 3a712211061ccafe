"""Pipes and devices where a file is expected: rejected without a blocking read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, DataError, MediaError

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no pipes")
ZERO = Path("/dev/zero")


@pytest.fixture(params=["pipe", "device"])
def special(request, tmp_path):
    if request.param == "device":
        if not ZERO.exists():
            pytest.skip("the platform has no such device")
        return ZERO
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    return pipe


@pytest.mark.parametrize("kind", [bb.Image, bb.Document, bb.Audio, bb.Video], ids=str)
def test_special_file_is_rejected_as_a_cell(session, special, kind):
    table = bb.create_table("t", {"m": kind})
    for path in (special, str(special), special.as_uri()):
        with pytest.raises(MediaError, match=r"column 'm', row 0: .* is not a regular file"):
            table.insert([{"m": path}])
    assert len(table.collect()) == 0


def test_special_file_is_rejected_as_rows(session, special):
    table = bb.create_table("t", {"n": bb.Int})
    with pytest.raises(DataError, match="is not a regular file"):
        table.insert(special)
    with pytest.raises(DataError, match="is not a regular file"):
        bb.read_folder(special)


def test_special_file_is_rejected_as_a_database(special):
    with pytest.raises(ConfigurationError, match="is not a regular file"):
        bb.connect(f"duckdb://{special}")
