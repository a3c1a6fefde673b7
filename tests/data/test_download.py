"""fetch, against a server of our own: mirrors, checksums, the cache. Nothing leaves the machine."""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tinyae.data import download
from tinyae.data.download import SOURCES, Source, fetch

pytest.importorskip("pooch", reason="downloading needs pooch")

FILES = {"a-images.gz": b"pictures" * 1000, "a-labels.gz": b"labels"}
SUMS = {file: "md5:" + hashlib.md5(content).hexdigest() for file, content in FILES.items()}


class Handler(BaseHTTPRequestHandler):
    """/good/ has all files, /bad/ other contents, /half/ breaks off, /one/ lacks the labels."""

    def do_GET(self):
        self.server.asked.append(self.path)
        _, place, file = self.path.split("/")
        content = FILES.get(file)
        if place == "none" or content is None or (place == "one" and "labels" in file):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        sent = {"bad": content[::-1], "half": content[: len(content) // 2]}.get(place, content)
        self.wfile.write(sent)

    def log_message(self, *arguments):
        pass


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def surroundings(tmp_path, monkeypatch):
    """A cache of our own, and no proxy between us and the server."""
    monkeypatch.setenv("TINYAE_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def use(monkeypatch, server, *places, sums=SUMS):
    base = f"http://127.0.0.1:{server.server_port}"
    source = Source(tuple(f"{base}/{place}/" for place in places), sums)
    monkeypatch.setitem(SOURCES, "toy", source)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_next_mirror_is_asked(tmp_path, monkeypatch, server):
    use(monkeypatch, server, "none", "good")
    folder = fetch("toy")
    assert folder == tmp_path / "cache" / "toy"
    assert contents(folder) == FILES
    # the mirror that had the first file is asked first for the second
    assert server.asked == ["/none/a-images.gz", "/good/a-images.gz", "/good/a-labels.gz"]


def test_a_mirror_may_lack_a_file(tmp_path, monkeypatch, server):
    use(monkeypatch, server, "one", "good")
    assert contents(fetch("toy")) == FILES
    assert server.asked == ["/one/a-images.gz", "/one/a-labels.gz", "/good/a-labels.gz"]


def test_the_second_time_nothing_is_asked(monkeypatch):
    with serving() as server:
        use(monkeypatch, server, "good")
        folder = fetch("toy")
    assert fetch("toy") == folder  # the server is gone
    assert contents(folder) == FILES


@pytest.mark.parametrize("place", ["bad", "half"])
def test_wrong_and_partial_files_are_refused(tmp_path, monkeypatch, server, place):
    use(monkeypatch, server, place)
    with pytest.raises(OSError, match=r"a-images\.gz of toy could not be downloaded"):
        fetch("toy")
    assert contents(tmp_path / "cache" / "toy") == {}


def test_after_a_wrong_file_the_next_mirror_is_asked(monkeypatch, server):
    use(monkeypatch, server, "bad", "half", "good")
    assert contents(fetch("toy")) == FILES


def test_a_damaged_file_in_the_cache_is_replaced(tmp_path, monkeypatch, server):
    folder = tmp_path / "cache" / "toy"
    folder.mkdir(parents=True)
    (folder / "a-images.gz").write_bytes(b"damaged")
    use(monkeypatch, server, "good")
    assert contents(fetch("toy")) == FILES


def test_when_all_mirrors_fail(monkeypatch, server):
    use(monkeypatch, server, "none", "bad")
    with pytest.raises(OSError) as caught:
        fetch("toy")
    message = str(caught.value)
    base = f"http://127.0.0.1:{server.server_port}"
    assert re.search(rf"{base}/none/a-images.gz: 404", message)
    assert re.search(rf"{base}/bad/a-images.gz: .*hash", message)
    assert "put a-images.gz, a-labels.gz into a folder and pass its path" in message


def test_without_a_network(tmp_path, monkeypatch):
    with serving() as server:
        use(monkeypatch, server, "good")
    with pytest.raises(OSError, match="To go on offline"):  # nobody listens there any more
        fetch("toy")


def test_the_users_cache_is_used_without_the_variable(tmp_path, monkeypatch, server):
    monkeypatch.delenv("TINYAE_DATA")
    monkeypatch.setattr("pooch.os_cache", lambda project: tmp_path / "home" / project)
    use(monkeypatch, server, "good")
    assert fetch("toy") == tmp_path / "home" / "tinyae" / "toy"


def test_unknown_name():
    with pytest.raises(ValueError, match="name must be one of mnist, fashion-mnist, got 'cifar'"):
        fetch("cifar")


def test_without_pooch(monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'needs pooch: pip install "tinyae\[download\]"'):
        fetch("mnist")


def test_the_tables_are_complete():
    files = {
        f"{part}-{what}-ubyte.gz"
        for part in ("train", "t10k")
        for what in ("images-idx3", "labels-idx1")
    }
    for source in download.SOURCES.values():
        assert set(source.checksums) == files
        assert all(re.fullmatch("md5:[0-9a-f]{32}", sum_) for sum_ in source.checksums.values())
        assert len(source.mirrors) > 1 and all(base.endswith("/") for base in source.mirrors)
