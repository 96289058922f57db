"""A real HTTP server on this machine, which misbehaves where a test wants it to."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request as the next of `Mirror.answers` says, or as a good server does."""

    server: "Server"

    def do_GET(self) -> None:
        mirror = self.server.mirror
        mirror.requests.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        content = mirror.files.get(self.path.lstrip("/"))
        answer = mirror.answers.pop(0) if mirror.answers else good
        if content is None and answer is good:
            answer = status(404)
        with suppress(BrokenPipeError, ConnectionResetError):
            answer(self, content or b"")

    def begin(self, code: int, length: int | None = None, **headers: str) -> None:
        self.send_response(code)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """With the mirror that it belongs to."""

    mirror: "Mirror"
    daemon_threads = True


class Mirror:
    """What the server has, what it was asked for, and how it is to answer next."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None, str | None]] = []
        self.answers: list[Answer] = []
        self.validators = True

    def tag(self, content: bytes) -> str:
        return f'"{hash(content):x}"'

    @property
    def ranges(self) -> list[str | None]:
        return [asked for _, asked, _ in self.requests]


@contextmanager
def serving() -> Iterator[Mirror]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.mirror = Mirror(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True)
        thread.start()
        try:
            yield server.mirror
        finally:
            server.shutdown()


def good(handler: Handler, content: bytes) -> None:
    """Whole or from a byte on, as RFC 9110 has it."""
    mirror = handler.server.mirror
    tag = {"ETag": mirror.tag(content)} if mirror.validators else {}
    found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    condition = handler.headers.get("If-Range")
    if not found or (condition and condition != tag.get("ETag")):
        handler.begin(200, len(content), **tag)
        handler.wfile.write(content)
        return
    start = int(found[1])
    if start >= len(content):
        handler.begin(416, 0, Content_Range=f"bytes */{len(content)}")
        return
    handler.begin(206, len(content) - start, Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}", **tag)
    handler.wfile.write(content[start:])


def status(code: int) -> Answer:
    return lambda handler, content: handler.begin(code, 0)


def redirect(to: str) -> Answer:
    return lambda handler, content: handler.begin(302, 0, Location=to)


def whole(handler: Handler, content: bytes) -> None:
    """As a server that knows no ranges."""
    handler.begin(200, len(content))
    handler.wfile.write(content)


def without_length(handler: Handler, content: bytes) -> None:
    handler.begin(200)
    handler.wfile.write(content)


def packed(handler: Handler, content: bytes) -> None:
    """As stores do that take the suffix .gz for a way to send what is inside."""
    handler.begin(200, len(content), Content_Encoding="gzip")
    handler.wfile.write(content)


def page(handler: Handler, content: bytes) -> None:
    """As networks do that want a login first."""
    handler.begin(200, 6, Content_Type="text/html; charset=utf-8")
    handler.wfile.write(b"<html>")


def other_part(handler: Handler, content: bytes) -> None:
    handler.begin(206, 1, Content_Range=f"bytes 0-0/{len(content)}")
    handler.wfile.write(content[:1])


def part_of(content_range: str) -> Answer:
    """A part of the file that is said to be this one; after "bytes=5-", what follows byte 5."""

    def answer(handler: Handler, content: bytes) -> None:
        rest = content[int(re.sub(r"\D", "", handler.headers.get("Range", "0"))) :]
        handler.begin(206, len(rest), Content_Range=content_range)
        handler.wfile.write(rest)

    return answer


def endless_length(handler: Handler, content: bytes) -> None:
    handler.begin(200, Content_Length="9" * 5000)
    handler.wfile.write(content)


def unsaid_length(after: int) -> Answer:
    """The connection breaks after so many bytes of a file whose length is not said."""

    def answer(handler: Handler, content: bytes) -> None:
        mirror = handler.server.mirror
        tag = {"ETag": mirror.tag(content)} if mirror.validators else {}
        handler.begin(200, Transfer_Encoding="chunked", **tag)
        handler.wfile.write(b"%x\r\n" % len(content) + content[:after])

    return answer


def cut(after: int, then: Callable[[], object] = lambda: None) -> Answer:
    """The connection breaks after so many bytes of the whole file; before that, `then` is called."""

    def answer(handler: Handler, content: bytes) -> None:
        handler.begin(200, len(content), ETag=handler.server.mirror.tag(content))
        handler.wfile.write(content[:after])
        handler.wfile.flush()
        then()

    return answer
