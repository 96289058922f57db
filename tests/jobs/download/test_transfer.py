"""A transfer over HTTP: whatever breaks, the file that appears is the one on the server, or none does."""

import errno
import shutil
import socket
import sys
from collections import namedtuple
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import requests

from frugalseg.jobs.download import answers
from frugalseg.jobs.download.answers import Refused, led, require_as_safe
from frugalseg.jobs.download.transfer import CHUNK, Part, fetch
from frugalseg.support.progress import silent
from tests.jobs.download.mirror import (
    Answer,
    Handler,
    Mirror,
    cut,
    endless_length,
    other_part,
    packed,
    page,
    part_of,
    redirect,
    status,
    unsaid_length,
    whole,
    without_length,
)

CONTENT = bytes(range(256)) * 4000  # more than fifteen chunks
HALF = 5 * CHUNK
AT_ONCE = (0.0, 0.0, 0.0)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "net.pt"


@pytest.fixture
def url(mirror: Mirror) -> str:
    mirror.files["net.pt"] = CONTENT
    return f"{mirror.base}/net.pt"


def arrived(place: Path, content: bytes = CONTENT) -> None:
    """The file is whole, and nothing lies beside it."""
    assert place.read_bytes() == content
    assert list(place.parent.iterdir()) == [place]


def half_there(url: str, place: Path, mirror: Mirror) -> None:
    """An earlier process was stopped after some bytes."""
    mirror.answers = [cut(HALF + 10)]
    with pytest.raises(Refused, match=r"broke off|bytes came"):
        fetch(url, place, silent, waits=())
    assert not place.exists() and Part.of(place).size == HALF
    mirror.requests.clear()


def test_a_file_arrives_whole_and_tells_of_its_progress(url: str, place: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch(url, place, lambda *report: told.append(report))
    arrived(place)
    assert told[-1] == ("net.pt, MB", 1, 1)


def test_a_broken_transfer_goes_on_where_it_broke(url: str, place: Path, mirror: Mirror) -> None:
    mirror.answers = [cut(HALF + 10), status(503)]
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    assert mirror.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_another_process_goes_on(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    fetch(url, place, silent)
    arrived(place)
    assert mirror.requests == [("/net.pt", f"bytes={HALF}-", mirror.tag(CONTENT))]


def test_a_server_that_knows_no_ranges_sends_all_again(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    mirror.answers = [whole]
    fetch(url, place, silent)
    arrived(place)


@pytest.mark.parametrize("validators", [True, False])
def test_a_file_that_changed_in_between_is_not_mixed(url: str, place: Path, mirror: Mirror, validators: bool) -> None:
    half_there(url, place, mirror)
    if not validators:  # then its length tells
        mirror.validators = False
        part = Part.of(place)
        part.record.write({**part.origin(url), "validator": None})
    mirror.files["net.pt"] = CONTENT[::-1] + b"!"
    fetch(url, place, silent, AT_ONCE)
    arrived(place, CONTENT[::-1] + b"!")


def test_a_file_that_became_shorter_than_what_is_there(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    mirror.files["net.pt"] = b"short"
    mirror.validators = False
    part = Part.of(place)
    part.record.write({**part.origin(url), "validator": None})
    fetch(url, place, silent, AT_ONCE)
    arrived(place, b"short")


def test_what_came_from_another_address_is_not_gone_on_with(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    mirror.files["b/net.pt"] = b"another file"
    fetch(f"{mirror.base}/b/net.pt", place, silent)
    arrived(place, b"another file")


def test_a_damaged_record_of_a_part_begins_anew(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    Part.of(place).record.path.write_text("{")
    fetch(url, place, silent)
    arrived(place)
    assert mirror.ranges == [None]


def test_a_part_that_is_whole_needs_no_server(url: str, place: Path, mirror: Mirror) -> None:
    """As a process leaves it that was killed just before the file had its place."""
    half_there(url, place, mirror)
    Part.of(place).path.write_bytes(CONTENT)
    fetch(url, place, silent)
    arrived(place)
    assert mirror.requests == []


OTHER_PARTS = {
    "the beginning": other_part,
    "no numbers": part_of("bytes"),
    "a giant number": part_of(f"bytes {'9' * 5000}-9/9"),
}


@pytest.mark.parametrize("answer", OTHER_PARTS.values(), ids=OTHER_PARTS)
def test_another_part_than_was_asked_for_begins_the_file_anew(
    url: str, place: Path, mirror: Mirror, answer: Answer
) -> None:
    half_there(url, place, mirror)
    mirror.answers = [answer]
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    assert mirror.ranges == [f"bytes={HALF}-", None]


def test_a_file_is_begun_anew_once(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    mirror.answers = [other_part, cut(HALF + 10), other_part]
    with pytest.raises(Refused, match=r"net\.pt: the server sends another part of the file than was asked for"):
        fetch(url, place, silent, AT_ONCE)
    assert mirror.answers == [] and not list(place.parent.iterdir())  # so that the next call begins anew, too
    fetch(url, place, silent, AT_ONCE)
    arrived(place)


def test_a_part_of_a_file_that_was_asked_for_whole_is_refused(url: str, place: Path, mirror: Mirror) -> None:
    mirror.answers = [part_of(f"bytes 5-9/{len(CONTENT)}")]
    with pytest.raises(Refused, match="another part of the file"):
        fetch(url, place, silent, AT_ONCE)
    assert len(mirror.requests) == 1 and not list(place.parent.iterdir())


@pytest.mark.parametrize("total", ["*", "9" * 5000])
def test_a_rest_of_unknown_length_belongs_to_the_file_that_was_begun(
    url: str, place: Path, mirror: Mirror, total: str
) -> None:
    half_there(url, place, mirror)
    mirror.answers = [part_of(f"bytes {HALF}-{len(CONTENT) - 1}/{total}")]
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    assert mirror.ranges == [f"bytes={HALF}-"]


def test_a_server_that_always_sends_too_little_is_given_up(url: str, place: Path, mirror: Mirror) -> None:
    mirror.answers = [cut(0)] * 4
    with pytest.raises(Refused, match=r"net\.pt: (the connection broke off|0 of)"):
        fetch(url, place, silent, AT_ONCE)
    assert len(mirror.requests) == 4 and not place.exists()


@pytest.mark.parametrize("answer", [without_length, endless_length])
def test_a_file_of_unknown_length(url: str, place: Path, mirror: Mirror, answer: Answer) -> None:
    mirror.answers = [answer]
    fetch(url, place, silent)
    arrived(place)


def test_a_file_of_unknown_length_goes_on_where_it_broke(url: str, place: Path, mirror: Mirror) -> None:
    mirror.answers = [unsaid_length(HALF + 10)]
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    assert mirror.requests[1:] == [("/net.pt", f"bytes={HALF}-", mirror.tag(CONTENT))]


def test_a_file_of_unknown_length_and_version_begins_anew(url: str, place: Path, mirror: Mirror) -> None:
    """Nothing would tell whether the rest is that of another file."""
    mirror.answers, mirror.validators = [unsaid_length(HALF + 10)], False
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    assert mirror.ranges == [None, None]


def test_a_file_whose_length_is_never_said_begins_anew(url: str, place: Path, mirror: Mirror) -> None:
    """Nothing would tell whether the rest is whole."""
    mirror.answers = [unsaid_length(HALF + 10), part_of(f"bytes {HALF}-{HALF + 9}/*")]
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    assert mirror.ranges == [None, f"bytes={HALF}-", None]


def test_a_rest_of_unknown_length_needs_room(url: str, place: Path, mirror: Mirror) -> None:
    """The disk is asked as soon as the length is known."""
    mirror.answers = [unsaid_length(HALF + 10), part_of(f"bytes {HALF}-{HALF + 9}/{10**17}")]
    with pytest.raises(OSError, match="No space left"):
        fetch(url, place, silent, AT_ONCE)
    assert Part.of(place).path.read_bytes() == CONTENT[:HALF]


def test_the_bytes_are_those_on_the_server(url: str, place: Path, mirror: Mirror) -> None:
    mirror.answers = [packed]
    fetch(url, place, silent)
    arrived(place)


def test_a_redirect_is_followed_and_one_in_a_circle_is_not(url: str, place: Path, mirror: Mirror) -> None:
    half_there(url, place, mirror)
    mirror.files["b/net.pt"] = CONTENT
    mirror.answers = [redirect(f"{mirror.base}/b/net.pt")]
    fetch(url, place, silent)
    arrived(place)
    assert mirror.requests[-1][:2] == ("/b/net.pt", f"bytes={HALF}-")
    mirror.answers = [redirect(url)] * 20
    with pytest.raises(Refused, match="without an end"):
        fetch(url, place.with_name("other.pt"), silent)


def test_an_encrypted_address_leads_to_no_other() -> None:
    with pytest.raises(Refused, match="not encrypted"):
        require_as_safe("https://a.example/net.pt", "http://a.example/net.pt")
    require_as_safe("https://a.example/net.pt", "HTTPS://b.example/net.pt")
    require_as_safe("http://a.example/net.pt", "http://b.example/net.pt")


class Signposts(requests.adapters.BaseAdapter):
    """Answers every request with a redirect, or with a file where none leads on."""

    def __init__(self, ways: dict[str, str]) -> None:
        super().__init__()
        self.ways, self.asked = ways, list[str]()

    def send(self, request: Any, **options: Any) -> requests.Response:
        self.asked.append(request.url)
        response = requests.Response()
        response.url, response.status_code, response.request = request.url, 200, request
        response.raw = BytesIO()
        if request.url in self.ways:
            response.status_code, response.headers["Location"] = 302, self.ways[request.url]
        return response

    def close(self) -> None:
        pass


def test_no_address_on_the_way_may_be_unencrypted() -> None:
    first, second, third = "https://a.example/net.pt", "http://b.example/net.pt", "https://c.example/net.pt"
    for start, message in ((first, rf"{first}: leads to {second}, which is not encrypted"), (second, "")):
        ways = Signposts({first: second, second: third})
        with requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, ways)
            if message:
                with pytest.raises(Refused, match=message):
                    led(session, start, {})
                assert ways.asked == [first]
            else:  # that promised nothing
                assert led(session, start, {}).url == third


def test_the_bodies_of_redirects_are_not_read(url: str, place: Path, mirror: Mirror) -> None:
    """They may have gigabytes; this one never comes to its end."""
    over, waited = Event(), list[bool]()
    mirror.files["b/net.pt"] = CONTENT

    def endless(handler: Handler, content: bytes) -> None:
        handler.begin(302, 10**12, Location="b/net.pt")
        handler.wfile.write(b"x")
        waited.append(not over.wait(10))

    mirror.answers = [endless]
    fetch(url, place, silent, waits=())
    assert not waited
    over.set()
    arrived(place)
    assert [path for path, _, _ in mirror.requests] == ["/net.pt", "/b/net.pt"]


@pytest.mark.parametrize(("code", "words"), [(404, "no such file there"), (403, "not allowed"), (400, "Bad Request")])
def test_a_refusal_is_not_repeated(url: str, place: Path, mirror: Mirror, code: int, words: str) -> None:
    mirror.answers = [status(code)]
    with pytest.raises(Refused, match=rf"answers {code} \({words}\)"):
        fetch(url, place, silent, AT_ONCE)
    assert len(mirror.requests) == 1 and not list(place.parent.iterdir())


def test_a_web_page_is_no_file(url: str, place: Path, mirror: Mirror) -> None:
    mirror.answers = [page]
    with pytest.raises(Refused, match="a web page instead of the file"):
        fetch(url, place, silent, AT_ONCE)
    assert len(mirror.requests) == 1 and not list(place.parent.iterdir())


@pytest.mark.parametrize("code", [429, 500, 503])
def test_trouble_of_the_server_is_waited_for(url: str, place: Path, mirror: Mirror, code: int) -> None:
    mirror.answers = [status(code)] * 3
    fetch(url, place, silent, AT_ONCE)
    arrived(place)
    mirror.answers = [status(code)] * 4
    with pytest.raises(Refused, match=f"answers {code}"):
        fetch(url, place.with_name("other.pt"), silent, AT_ONCE)


def test_without_an_answer_nothing_is_waited_for(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/net.pt"
        with pytest.raises(Refused, match=r"no answer \(Connection refused\)"):
            fetch(address, place, silent, waits=(1000.0,))
    with pytest.raises(Refused, match=r"no answer \(.*(known|resol|failure)"):
        fetch("http://nowhere.invalid/net.pt", place, silent, waits=(1000.0,))


def test_a_server_that_falls_silent_is_given_up(
    url: str, place: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "READ", 0.1)
    over = Event()
    mirror.answers = [cut(HALF, then=lambda: over.wait(10))]
    fetch(url, place, silent, AT_ONCE)
    over.set()
    arrived(place)
    assert mirror.ranges == [None, f"bytes={HALF}-"]


@pytest.mark.parametrize("address", ["http://[/net.pt", "http://a\u2100b.example/net.pt"])
def test_an_address_that_is_none(url: str, place: Path, mirror: Mirror, address: str) -> None:
    with pytest.raises(Refused, match="not an address"):
        fetch(address, place, silent)
    mirror.answers = [redirect(address.encode("idna" if address.isascii() else "utf-8").decode("latin-1"))]
    with pytest.raises(Refused, match=r"net\.pt: not an address"):
        fetch(url, place, silent)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's length there")
def test_on_a_full_disk_what_has_come_stays(url: str, place: Path, mirror: Mirror) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            fetch(url, place, silent)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert raised.value.errno == errno.EFBIG and raised.value.filename == str(Part.of(place).path)
    assert not place.exists() and Part.of(place).path.read_bytes() == CONTENT[:100_000]
    fetch(url, place, silent)
    arrived(place)
    assert mirror.ranges == [None, "bytes=100000-"]


def test_a_disk_without_room_is_told_of_first(url: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, len(CONTENT) - 1))
    with pytest.raises(OSError, match="No space left") as raised:
        fetch(url, place, silent)
    assert raised.value.filename == str(place.parent) and Part.of(place).size == 0
