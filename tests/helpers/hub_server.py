"""A loopback server that answers like the Hugging Face Hub, for what downloads of models ask it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, *arguments, repositories: dict[str, dict[str, Path]], **options):
        self.repositories = repositories
        super().__init__(*arguments, **options)

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        kind, parts = ("api", parts[2:]) if parts[:2] == ["api", "models"] else ("file", parts)
        revisions = self.repositories.get("/".join(parts[:2]))
        if revisions is None:
            return self._refuse("RepoNotFound")
        action = parts[2] if len(parts) > 2 else "revision"
        wanted = parts[3] if len(parts) > 3 else "main"
        found = next((name for name in revisions if wanted in (name, _commit(parts, name))), None)
        if found is None:
            return self._refuse("RevisionNotFound")
        folder, commit = revisions[found], _commit(parts, found)
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        if kind == "api" and action == "tree":
            listed = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": _digest(path)}
                for name, path in files.items()
            ]
            return self._answer(json.dumps(listed).encode(), "application/json")
        if kind == "api":
            told = {"id": "/".join(parts[:2]), "sha": commit, "siblings": [{"rfilename": name} for name in files]}
            return self._answer(json.dumps(told).encode(), "application/json")
        path = files.get("/".join(parts[4:]))
        if path is None:
            return self._refuse("EntryNotFound")
        return self._answer(path.read_bytes(), "application/octet-stream", commit, _digest(path))

    def _refuse(self, reason: str) -> None:
        self.send_response(404)
        self.send_header("X-Error-Code", reason)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, content: bytes, kind: str, commit: str = "", etag: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if commit:
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


def _commit(parts: list[str], revision: str) -> str:
    return hashlib.sha1(f"{parts[:2]} {revision}".encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@contextmanager
def hub_server(repositories: dict[str, dict[str, Path]]) -> Iterator[str]:
    """Serve folders; yield the address for HF_ENDPOINT.

    ``repositories`` has, for each ``OWNER/NAME``, a folder for each revision.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, repositories=repositories))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
