"""A web site with a prebuilt viewer, and a DICOMweb server behind it under the same origin."""

import http.client
import http.server
import mimetypes
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ISOLATED = {"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp"}
_PROXIED = "/dicom-web"
_TYPES = {".wasm": "application/wasm", ".js": "text/javascript", ".mjs": "text/javascript"}


@contextmanager
def viewer_site(
    folder: Path, replaced: Mapping[str, str], dicomweb_port: int, headers: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Serve ``folder`` with its index page for every unknown path, and ``/dicom-web`` from the port on this machine.

    ``replaced`` are texts served in place of files; ``headers`` go with each request to the DICOMweb server. Gives
    the origin.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name is http.server's
            path = self.path.partition("?")[0]
            if path.startswith(_PROXIED):
                self._pass_on()
            elif path in replaced:
                self._answer(200, "text/javascript", replaced[path].encode(), "no-store")
            else:
                file = Path(os.path.normpath(folder / path.lstrip("/")))
                known = file.is_relative_to(folder) and file.is_file()
                file = file if known else folder / "index.html"
                kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                self._answer(200, kind, file.read_bytes(), "max-age=3600")

        def _pass_on(self) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", dicomweb_port, timeout=60)
            accept = {"Accept": self.headers.get("Accept", "*/*")}
            try:
                connection.request(
                    "GET", self.path, headers=accept | dict(headers or {}) | {"Host": self.headers["Host"]}
                )
                answer = connection.getresponse()
                kind = answer.headers.get("Content-Type", "application/octet-stream")
                self._answer(answer.status, kind, answer.read(), "no-store")
            finally:
                connection.close()

        def _answer(self, status: int, kind: str, content: bytes, cache: str) -> None:
            self.send_response(status)
            for name, value in {**_ISOLATED, "Content-Type": kind, "Cache-Control": cache}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
