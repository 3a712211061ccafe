from __future__ import annotations

import hashlib
import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from barbule.errors import ConfigurationError, MediaError
from barbule.locations import file_from_uri, redact_uri
from barbule.media.storage.media_store import MediaStore

DATA = b"a barbule hooks"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["path", "file", "memory"])
def store(request, tmp_path):
    root = {
        "path": str(tmp_path / "media"),
        "file": (tmp_path / "media").as_uri(),
        "memory": f"memory://{uuid.uuid4().hex}/media",
    }[request.param]
    return MediaStore(root, cache_dir=tmp_path / "cache")


def test_stored_content_round_trips(store):
    reference = store.put(DATA, ".TXT")
    assert reference == f"media:{SHA}.txt"
    assert store.open(reference) == DATA
    assert store.exists(reference)
    assert store.sha256(reference) == SHA
    path = store.local_path(reference)
    assert path.is_absolute()
    assert path.read_bytes() == DATA
    assert path.suffix == ".txt"
    assert store.local_path(reference) == path


def test_equal_content_is_written_once(tmp_path):
    store = MediaStore(str(tmp_path))
    path = store.local_path(store.put(DATA, "txt"))
    written = path.stat().st_ino
    os.utime(path, ns=(1, 1))
    store.put(DATA, "txt")
    assert path.stat().st_ino == written
    assert path.stat().st_mtime_ns > 1  # renewed for the garbage collection
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [path]


def test_truncated_file_is_written_again(tmp_path):
    store = MediaStore(str(tmp_path))
    reference = store.put(DATA, "txt")
    store.local_path(reference).write_bytes(b"")
    store.put(DATA, "txt")
    assert store.open(reference) == DATA


def test_threads_can_put_equal_content(store):
    with ThreadPoolExecutor(8) as pool:
        references = set(pool.map(lambda _: store.put(DATA, "bin"), range(40)))
    assert references == {f"media:{SHA}.bin"}
    assert store.open(references.pop()) == DATA


def test_missing_object_is_reported(store):
    reference = f"media:{'0' * 64}.png"
    assert not store.exists(reference)
    for use in (store.open, store.local_path):
        with pytest.raises(MediaError, match="is not in the media store"):
            use(reference)


@pytest.mark.parametrize(
    "reference",
    [
        "media:../../etc/passwd",
        f"media:{SHA}.txt/../../x",
        f"media:{SHA}",
        f"media:{SHA}.",
        f"media:{SHA}.txt\n",
        f"media:{SHA.upper()}.txt",
        "media:",
    ],
)
def test_malformed_references_are_rejected(store, reference):
    for use in (store.open, store.local_path, store.sha256, store.exists):
        with pytest.raises(MediaError, match="reference is malformed"):
            use(reference)


@pytest.mark.parametrize("suffix", ["", ".", "../x", "a/b", "tar.gz"])
def test_malformed_suffix_is_rejected(store, suffix):
    with pytest.raises(MediaError, match="is not a file suffix"):
        store.put(DATA, suffix)


def test_hash_of_a_file_follows_its_state(tmp_path, store):
    path = tmp_path / "file with space.bin"
    path.write_bytes(DATA)
    assert store.sha256(str(path)) == SHA
    assert store.sha256(path.as_uri()) == SHA
    path.write_bytes(DATA + b"!")
    assert store.sha256(str(path)) == hashlib.sha256(DATA + b"!").hexdigest()
    assert store.local_path(path.as_uri()) == path


def test_hash_is_cached_by_size_and_time(tmp_path):
    store = MediaStore(str(tmp_path / "media"))
    path = tmp_path / "x"
    path.write_bytes(b"one")
    state = path.stat()
    first = store.sha256(str(path))
    # With equal size and time the content counts as unchanged.
    path.write_bytes(b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert store.sha256(str(path)) == first


def test_non_local_file_uris_are_rejected(tmp_path):
    with pytest.raises(MediaError, match="another machine"):
        file_from_uri("file://elsewhere/x")
    with pytest.raises(MediaError, match="is not a local file"):
        file_from_uri("https://example.com/x.png")
    with pytest.raises(MediaError, match="is a directory"):
        file_from_uri(str(tmp_path))
    with pytest.raises(MediaError, match="does not exist"):
        file_from_uri(str(tmp_path / "gone"))
    # Python versions differ in whether these count as missing files.
    for odd in ("a\0b", "x" * 5000):
        with pytest.raises(MediaError, match=r"(is not a path|does not exist)"):
            file_from_uri(odd)


def test_relative_paths_and_colons_are_accepted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x:y.txt").write_text("x")
    assert file_from_uri("x:y.txt") == tmp_path / "x:y.txt"


def test_unknown_scheme_error_shows_no_secret():
    with pytest.raises(ConfigurationError, match="media store nope://host/x cannot be") as caught:
        MediaStore("nope://user:pw@host/x")
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "visible"),
    [
        ("https://u:p@h.example/a?sig=1#x", "https://h.example/a?…"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("data:image/png;base64,AAAA", "data:image/png,…"),
        ("/plain/path", "/plain/path"),
    ],
)
def test_uris_are_redacted(uri, visible):
    assert redact_uri(uri) == visible


def test_repr_names_the_location(tmp_path):
    assert repr(MediaStore(str(tmp_path))) == f"MediaStore({str(tmp_path)!r})"
