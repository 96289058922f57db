"""Archives from strangers: what is not a plain file below the folder refuses the whole archive, and nothing stays."""

import gzip
import io
import random
import sys
import tarfile
from pathlib import Path

import pytest

from frugalseg.jobs.download import archive as module
from frugalseg.jobs.download.archive import unpacked
from frugalseg.support.files import FileError
from frugalseg.support.progress import silent
from tests.jobs.download.published import archive


def member(name: str, kind: bytes = tarfile.REGTYPE, *, link: str = "", size: int = 0) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    return found


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def sparse_map(blocks: int) -> bytes:
    """The beginning of an archive: a file with holes, in so many blocks that say where they are."""
    head = bytearray(member("a", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    head[482] = 1
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return gzip.compress(bytes(head) + (b"00000000001\0" * 42 + b"\1" + bytes(7)) * blocks, 1)


NOISE = random.Random(0).randbytes(10_000)

HOSTILE = {
    "above": (archive({"../evil.txt": b"x"}), "outside"),
    "absolute and above": (archive({"/../../evil.txt": b"x"}), "outside"),
    "a link out": (archive({"a": b"x"}, [member("evil.txt", tarfile.SYMTYPE, link="../../secret")]), "link"),
    "a link within": (archive({"a": b"x"}, [member("b", tarfile.SYMTYPE, link="a")]), "link"),
    "a hard link": (archive({"a": b"x"}, [member("b", tarfile.LNKTYPE, link="a")]), "link"),
    "a pipe": (archive({}, [member("evil.txt", tarfile.FIFOTYPE)]), "device"),
    "a device": (archive({}, [member("evil.txt", tarfile.CHRTYPE)]), "device"),
    "a giant": (archive({}, [member("evil.txt", size=2**50)]), "more than"),
    "a giant name": (archive({}, [member("x", tarfile.GNUTYPE_LONGNAME, size=2**32)]), "beside its files"),
    "a giant link": (archive({}, [member("x", tarfile.GNUTYPE_LONGLINK, size=2**32)]), "beside its files"),
    "giant facts": (archive({"a": b"x"}, [member("x", tarfile.XHDTYPE, size=2**32)]), "beside its files"),
    "giant facts of all": (archive({}, [member("x", tarfile.XGLTYPE, size=2**32)]), "beside its files"),
    "a giant map of holes": (sparse_map(2**15), "beside its files"),
    "zeros behind the end": (archive({"a": b"x"}) + gzip.compress(bytes(2**24), 1), "beside its files"),
    "less than nothing": (archive({}, [member("a", size=-(2**40))]), "more than"),
    "cut off": (archive({"a": NOISE})[:-20], "damaged"),
    "a flipped bit": (flipped(archive({"a": NOISE}), 5000), "damaged"),
    "no archive": (b"<html>not found</html>", "damaged"),
    "nothing": (b"", "damaged"),
    "a file as a folder": (archive({"a": b"x", "a/b": b"x"}), "damaged"),
    "nothing but zeros": (gzip.compress(bytes(100)), "damaged"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_leaves_nothing(name: str, tmp_path: Path) -> None:
    content, words = HOSTILE[name]
    (tmp_path / "secret").write_text("mine")
    file, place = tmp_path / "in" / "a.tar.gz", tmp_path / "in" / "new"
    file.parent.mkdir()
    file.write_bytes(content)
    with pytest.raises(FileError, match=words) as raised, unpacked(file, place, silent):
        pass
    assert raised.value.where == str(file) and "\n" not in str(raised.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar.gz", "in", "secret"]
    assert (tmp_path / "secret").read_text() == "mine"


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_MEMBERS", 3)
    (tmp_path / "a.tar.gz").write_bytes(archive(dict.fromkeys("abcd", b"")))
    with pytest.raises(FileError, match="more than 3 files"), unpacked(tmp_path / "a.tar.gz", tmp_path / "new", silent):
        pass


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_usual_lengths_are_not_too_much(form: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BESIDE", 2**18)
    files = {f"{'d' * 90}/{'e' * 90}/{number:03d}": bytes(37 * number) for number in range(500)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1, format=form) as tar:
        for name, content in files.items():
            head = member(name, size=len(content))
            head.mtime = 1.5
            tar.addfile(head, io.BytesIO(content))
    (tmp_path / "a.tar.gz").write_bytes(out.getvalue())
    with unpacked(tmp_path / "a.tar.gz", tmp_path / "new", silent) as folder:
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == files


def test_what_a_killed_process_left_is_replaced_and_the_folder_goes(tmp_path: Path) -> None:
    file, place = tmp_path / "a.tar.gz", tmp_path / "new"
    file.write_bytes(archive({"d/a": b"x"}))
    (place / "old").mkdir(parents=True)
    with unpacked(file, place, silent) as folder:
        assert [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))] == ["d", "d/a"]
        (folder / "d" / "a").rename(tmp_path / "kept")
    assert not place.exists() and (tmp_path / "kept").read_bytes() == b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's length there")
def test_a_full_disk_is_no_damage(tmp_path: Path) -> None:
    import resource

    file = tmp_path / "a.tar.gz"
    file.write_bytes(archive({"a": bytes(10_000)}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as raised, unpacked(file, tmp_path / "new", silent):
            pass
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not isinstance(raised.value, FileError) and raised.value.filename == str(tmp_path)
    assert list(tmp_path.iterdir()) == [file]
