"""What a server answers to the wish for a file, or for the rest of one."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

from frugalseg.support.errors import InputError
from frugalseg.support.text import reason
from frugalseg.support.version import __version__

CONNECT, READ = 10.0, 30.0
"""Seconds until a server that does not answer, or no longer sends anything, is given up."""
MOST_REDIRECTS = 10
PASSING = frozenset({408, 425, 429})
"""Refusals that pass, beside all errors of the server itself (500 and above)."""
MOST_DIGITS = 18
"""Of a number of bytes; Python refuses to read numbers of thousands of digits."""
WORDS = {401: "not allowed", 403: "not allowed", 404: "no such file there", 410: "no longer there"}


class Refused(InputError):
    """A file cannot be had from its address."""


class Broken(Exception):
    """A transfer broke off.

    Attributes:
        answered: whether the server had answered at all.
    """

    def __init__(self, words: str, *, answered: bool) -> None:
        super().__init__(words)
        self.answered = answered


class Stale(Broken):
    """The server cannot go on with what is here of a file, which is of no use then."""

    def __init__(self, words: str) -> None:
        super().__init__(words, answered=True)


@dataclass(frozen=True)
class Answer:
    """The beginning of an answer.

    Attributes:
        response: of requests; its body is not read yet.
        start: at which byte of the file the body begins.
        total: bytes of the whole file; None where the server does not say.
    """

    response: Any
    start: int
    total: int | None

    @property
    def validator(self) -> str | None:
        """How the server names this version of the file, for ``If-Range``; weak tags are no good for that."""
        headers: Mapping[str, str] = self.response.headers
        tag = headers.get("ETag")
        return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")

    def chunks(self, size: int) -> Iterator[bytes]:
        """The body, as the bytes that lie on the server; `Broken` where it ends too early."""
        from requests import RequestException

        # Some servers call an archive compressed content, and it would arrive unpacked.
        self.response.raw.headers.pop("Content-Encoding", None)
        try:
            yield from self.response.iter_content(size)
        except (RequestException, OSError) as error:
            raise Broken(f"the connection broke off ({innermost(error)})", answered=True) from None


@contextmanager
def ask(url: str, start: int, validator: str | None) -> Iterator[Answer]:
    """Ask for a file from byte `start` on; the answer may be the whole file all the same.

    Args:
        url: its address.
        start: 0 for the whole file.
        validator: the version of which the bytes before `start` are; None where it has no name.

    Raises:
        Broken: no answer, or one that says that the trouble will pass.
        Stale: the server has nothing behind `start`, or sends what lies elsewhere.
        Refused: the server has no such file, or does not give it.
    """
    import requests

    headers = {"User-Agent": f"frugalseg/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        headers |= {"If-Range": validator} if validator else {}
    with requests.Session() as session:
        try:
            response = led(session, url, headers)
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Broken(f"no answer ({innermost(error)})", answered=False) from None
        except (requests.RequestException, ValueError) as error:
            raise Refused(f"{url}: not an address that can be asked ({reason(error)})") from None
        with response:
            yield understood(url, response, start)


def led(session: Any, url: str, headers: Mapping[str, str]) -> Any:
    """The answer at the end of all redirects, its body unread.

    requests would read the bodies of the redirects into memory, whatever their length.

    Raises:
        Refused: they have no end, or leave encryption.
        requests.RequestException, ValueError: no answer, or an address that none is.
    """
    from requests.utils import requote_uri

    target, address = session.get_redirect_target, url
    session.get_redirect_target = lambda response: None
    for _ in range(MOST_REDIRECTS + 1):
        response = session.get(address, headers=headers, stream=True, timeout=(CONNECT, READ), allow_redirects=False)
        further = target(response)
        if not further:
            return response
        response.close()
        address = requote_uri(urljoin(response.url, further))
        require_as_safe(url, address)
    raise Refused(f"{url}: leads from one address to another without an end")


def understood(url: str, response: Any, start: int) -> Answer:
    """An answer, by its status and headers; raises what `ask` does."""
    status = response.status_code
    if status >= 500 or status in PASSING:
        raise Broken(f"the server answers {status} {response.reason}".strip(), answered=True)
    if status == 416 and start:
        raise Stale("the file on the server has changed")
    if status not in (200, 206):
        words = WORDS.get(status, response.reason or "refused")
        raise Refused(f"{response.url}: the server answers {status} ({words})")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise Refused(f"{response.url}: leads to a web page instead of the file; is there a login in between?")
    if status == 200:
        return Answer(response, 0, length(response.headers.get("Content-Length")))
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if found is None or length(found[1]) != start:
        words = "the server sends another part of the file than was asked for"
        raise Stale(words) if start else Refused(f"{response.url}: {words}")
    return Answer(response, start, length(found[2]))


def length(text: str | None) -> int | None:
    """A number of bytes; None where a header has none, or one that no file has."""
    return int(text) if text and text.isdecimal() and len(text) <= MOST_DIGITS else None


def require_as_safe(asked: str, answered: str) -> None:
    """`Refused` where an encrypted address leads to one that is not: nothing else vouches for the file."""
    if asked.lower().startswith("https:") and not answered.lower().startswith("https:"):
        raise Refused(f"{asked}: leads to {answered}, which is not encrypted")


def innermost(error: BaseException) -> str:
    """The first cause of an exception of requests, which wraps those of others several times."""
    found = error
    for _ in range(10):
        inside = (getattr(found, "reason", None), *found.args, found.__cause__, found.__context__)
        cause = next((each for each in inside if isinstance(each, BaseException)), None)
        if cause is None:
            break
        found = cause
    return (isinstance(found, OSError) and found.strerror) or reason(found)
