"""Loopback servers for shards: HTTP with ranges and, on request, broken connections; S3 by moto."""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _RangeHandler(SimpleHTTPRequestHandler):
    """Serves files with ranges; breaks off the first answers for each file after half of their bytes."""

    def __init__(self, *arguments, breaks: dict[str, int], refused: frozenset[str], requests: list[str], **options):
        self.breaks, self.refused, self.requests = breaks, refused, requests
        super().__init__(*arguments, **options)

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if path.name in self.refused:
            return self.send_error(403)
        if not path.is_file():
            return super().do_GET()
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        begin, end = 0, len(content)
        if asked:
            begin = int(asked[1])
            end = min(end, int(asked[2]) + 1) if asked[2] else end
        self.requests.append(path.name)
        self.send_response(206 if asked else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(end - begin))
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        self.end_headers()
        if self.breaks.get(path.name, 0) > 0:
            self.breaks[path.name] -= 1
            self.wfile.write(content[begin : (begin + end) // 2])
            self.close_connection = True
            return None
        self.wfile.write(content[begin:end])
        return None


@contextmanager
def http_server(
    folder: Path, breaks: dict[str, int] | None = None, refused: frozenset[str] = frozenset()
) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; yield its URL, and the names of the files that were asked for."""
    requests: list[str] = []
    options = {"directory": os.fspath(folder), "breaks": breaks or {}, "refused": refused, "requests": requests}
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_RangeHandler, **options))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[str]:
    """Serve a folder as a bucket; yield the endpoint."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        files = fsspec.filesystem("s3", key="k", secret="s", endpoint_url=endpoint)
        files.mkdir(bucket)
        for path in folder.rglob("*"):
            if path.is_file():
                files.pipe(f"{bucket}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        yield endpoint
    finally:
        server.stop()
