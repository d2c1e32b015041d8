"""CUB-200-2011 from a server on 127.0.0.1, whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import random
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from classifier.basics.errors import UserError
from classifier.data import datasets
from classifier.data.download import OnTransfer, download
from classifier.data.sources.cub200 import ARCHIVE, FILE, SOURCE, class_sizes
from classifier.data.spec import DataSpec
from tests.disks import small_disk as small_disk_at

NAME = "CUB_200_2011.tgz"


class Server(ThreadingHTTPServer):
    """Serves one file, or several by their names, and misbehaves as told."""

    daemon_threads = True
    content = b""
    cut_at: int | None = None
    """Bytes of the body after which the connection is closed, once."""
    ranges = True
    shift = 0
    """By how much ranges are wrong."""
    lengths = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.asked: list[str | None] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/files/{NAME}"

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        content = server.contents.get(Path(self.path).name, server.content)
        asked = self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            end = len(content) - 1
            self.send_header("Content-Range", f"bytes {start + server.shift}-{end}/{end + 1}")
        body = content[start:]
        if server.lengths:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.cut_at is not None:
            body, server.cut_at = body[: server.cut_at], None
        server.sent += len(body)
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        running.content = archive({"CUB_200_2011/images/001.A/a.jpg": os.urandom(100_000)})
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def archive(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def download_cub200(
    root: Path,
    url: str,
    md5: str = FILE.md5,
    progress: OnTransfer = lambda phase, done, total: None,
) -> Path:
    file = replace(FILE, url=url, md5=md5, sha256=None)
    return download(replace(ARCHIVE, files=(file,)), root, progress)


def left(root: Path) -> list[str]:
    """What lies in the data root, but for the lock."""
    return sorted(path.name for path in root.iterdir() if not path.name.endswith(".lock"))


def test_the_whole_data_set(server: Server, root: Path) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (4, 3), (90, 120, 30)).save(jpeg, "jpeg")
    server.content = archive(
        {"attributes.txt": b"1 x", "CUB_200_2011/README": b"birds"}
        | {
            f"CUB_200_2011/images/{name}/{name[4:]}_{index:04}.jpg": jpeg.getvalue()
            for name, images in class_sizes().items()
            for index in range(images)
        }
    )
    seen: list[tuple[str, int, int | None]] = []
    target = download_cub200(root, server.url, server.md5, lambda *step: seen.append(step))
    assert target == root / "CUB_200_2011"
    assert left(root) == ["CUB_200_2011"]
    cub = DataSpec(name="cub200", split="sequential")
    listed = datasets.listing(cub, root)
    assert listed.counts() == {"train": 7684, "val": 1781, "test": 2323}
    assert cub.source.open(root, listed.paths[0]).size == (4, 3)
    whole = len(server.content)
    assert ("fetching", whole, whole) in seen
    assert seen[-1] == ("extracting", whole, whole)
    assert download_cub200(root, server.url, server.md5) == target
    assert len(server.asked) == 1, "what is there is not fetched again"


def test_a_wrong_checksum(server: Server, root: Path) -> None:
    with pytest.raises(UserError, match=rf"MD5 {server.md5} instead of {FILE.md5}"):
        download_cub200(root, server.url)
    assert left(root) == []


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_resumed(server: Server, root: Path, ranges: bool) -> None:
    server.cut_at, server.ranges = 50_000, ranges
    with pytest.raises(UserError, match=r"cut after 50,000 of .*\.part keeps .* resumes"):
        download_cub200(root, server.url, server.md5)
    assert left(root) == [f"{NAME}.part"]
    assert (root / f"{NAME}.part").stat().st_size == 50_000
    download_cub200(root, server.url, server.md5)
    assert left(root) == ["CUB_200_2011"]
    assert server.asked == [None, "bytes=50000-"]
    assert server.sent == len(server.content) + (0 if ranges else 50_000)


def test_a_cut_connection_of_unknown_length_is_found_by_the_checksum(
    server: Server, root: Path
) -> None:
    server.cut_at, server.lengths = 50_000, False
    with pytest.raises(UserError, match="deleted; the same command fetches it again"):
        download_cub200(root, server.url, server.md5)
    assert left(root) == []


def test_a_part_that_is_longer_than_the_archive_is_fetched_anew(server: Server, root: Path) -> None:
    (root / f"{NAME}.part").write_bytes(b"x" * 2 * len(server.content))
    download_cub200(root, server.url, server.md5)
    assert left(root) == ["CUB_200_2011"]


def test_a_wrong_range_is_not_taken(server: Server, root: Path) -> None:
    server.shift = 1
    (root / f"{NAME}.part").write_bytes(server.content[:5000])
    with pytest.raises(UserError, match="another range than was asked for"):
        download_cub200(root, server.url, server.md5)
    assert left(root) == [f"{NAME}.part"]


def test_a_whole_part_needs_no_network(root: Path) -> None:
    content = archive({"CUB_200_2011/images/001.A/a.jpg": b"bird"})
    (root / f"{NAME}.part").write_bytes(content)
    url = f"http://127.0.0.1:1/{NAME}"
    target = download_cub200(root, url, hashlib.md5(content).hexdigest())
    assert (target / "images" / "001.A" / "a.jpg").read_bytes() == b"bird"


def link(name: str, to: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, to
        tar.addfile(member)
    return packed.getvalue()


GOOD = {"CUB_200_2011/images/001.A/a.jpg": b"bird"}
LONG = archive(
    {"CUB_200_2011/images/001.A/a.jpg": random.Random(0).randbytes(60_000).hex().encode()}
)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (archive({**GOOD, "../outside.txt": b"evil"}), "outside"),
        (archive({**GOOD, "CUB_200_2011/../../outside.txt": b"evil"}), "outside"),
        (link("CUB_200_2011", "/etc"), "neither a file nor a folder"),
        (archive({"birds/a.jpg": b"bird"}), "no CUB_200_2011/images"),
        (LONG[:50_000], "end of data|end-of-stream"),
        (LONG[:50_000] + b"\xff" * 9000 + LONG[59_000:], "decompressing"),
        (b"<html>sign in first</html>", "could not be opened|not a gzip|invalid header"),
    ],
    ids=["up", "up-below", "link", "other-folder", "cut", "damaged", "page"],
)
def test_an_archive_that_is_refused_leaves_nothing(
    server: Server, root: Path, content: bytes, reason: str
) -> None:
    server.content = content
    with pytest.raises(UserError, match=f"refused and deleted: .*({reason})"):
        download_cub200(root, server.url, server.md5)
    assert left(root) == []
    assert not (root.parent / "outside.txt").exists()


def test_no_network_says_what_to_fetch_and_where_to_put_it(root: Path) -> None:
    with pytest.raises(UserError, match=r"can't be fetched: .*refused.*Fetch .*extract it into"):
        download_cub200(root, f"http://127.0.0.1:1/{NAME}")
    assert left(root) == []


def test_a_server_that_does_not_have_it(server: Server, root: Path) -> None:
    server.content = b""
    with pytest.raises(UserError, match=r"can't be fetched: HTTP Error 416.*Fetch .*into"):
        download_cub200(root, server.url)


def test_another_thing_in_its_place_is_left_alone(root: Path) -> None:
    (root / "CUB_200_2011").mkdir()
    (root / "CUB_200_2011" / "mine.txt").touch()
    with pytest.raises(UserError, match="move it away first"):
        SOURCE.fetch(root, lambda *_: None)
    assert (root / "CUB_200_2011" / "mine.txt").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of one megabyte."""
    with small_disk_at(tmp_path / "disk", "1m") as folder:
        yield folder


def test_a_disk_too_small_is_told_before_the_download(server: Server, small_disk: Path) -> None:
    server.content = archive({"CUB_200_2011/images/001.A/a.jpg": os.urandom(700_000)})
    needed = f"{2 * len(server.content):,}"
    with pytest.raises(UserError, match=rf"{small_disk} has .* free, and cub200 needs {needed} "):
        download_cub200(small_disk, server.url, server.md5)
    assert left(small_disk) == []


def test_a_disk_that_fills_while_fetching(server: Server, small_disk: Path) -> None:
    server.content = archive({"CUB_200_2011/images/001.A/a.jpg": os.urandom(2_000_000)})
    server.lengths = False  # so that it can't be told before
    with pytest.raises(UserError, match=rf"{small_disk}/{NAME}.part can't be written: No space"):
        download_cub200(small_disk, server.url, server.md5)
    assert left(small_disk) == [f"{NAME}.part"]


def test_a_disk_that_fills_while_extracting(server: Server, small_disk: Path) -> None:
    server.content = archive(
        {f"CUB_200_2011/images/001.A/{index}.jpg": bytes(50_000) for index in range(40)}
    )
    with pytest.raises(UserError, match=rf"{small_disk}/.*can't be written: No space"):
        download_cub200(small_disk, server.url, server.md5)
    assert left(small_disk) == [f"{NAME}.part"], "the archive is kept, for when there is room"


def test_what_a_killed_extraction_left_is_removed(server: Server, root: Path) -> None:
    (root / ".CUB_200_2011.extracting" / "CUB_200_2011").mkdir(parents=True)
    (root / ".CUB_200_2011.extracting" / "CUB_200_2011" / "half").touch()
    target = download_cub200(root, server.url, server.md5)
    assert left(root) == ["CUB_200_2011"]
    assert not (target / "half").exists()


def test_a_connection_that_is_reset_is_a_cut(
    server: Server, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reset(*_: object) -> bytes:
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr(http.client.HTTPResponse, "read", reset)
    with pytest.raises(UserError, match=r"cut \(Connection reset.*same command resumes"):
        download_cub200(root, server.url, server.md5)
