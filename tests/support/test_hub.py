"""Hub ids and paths are told apart without asking the Hub."""

import errno
import socketserver
import threading

import huggingface_hub
import huggingface_hub.constants
import pytest

from frugalseg.support.errors import InputError
from frugalseg.support.hub import is_hub_id, local_or_downloaded


@pytest.mark.parametrize(
    "name", ["owner/name", "google/ddpm-church-256", "me/model-v1.5", "0x/a_b.c", "timm/vit_small.dino_v2", "o/n.net"]
)
def test_hub_ids(name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    [
        "name",
        "./name",
        "../name",
        "~/name",
        "/data/name",
        "/name",
        "C:\\models/name",
        "a/b/c",
        "folder/",
        "owner/",
        "folder/weights.pt",
        "folder/weights.SAFETENSORS",
        "folder/.hidden",
        "my folder/name",
        "owner/na--me",
        "owner/na..me",
        "café/name",
        "owner/name\n",
        "owner/" + "n" * 96,
        "",
    ],
)
def test_paths_and_nonsense(name):
    assert not is_hub_id(name)


def test_a_local_folder_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert str(local_or_downloaded("owner/name", "model folder")) == "owner/name"


@pytest.mark.parametrize("name", ["missing", "./missing", "folder/missing.pt", "a/b/c"])
def test_paths_are_never_looked_up_on_the_hub(name, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"no such model folder; give an existing folder, or a Hub id such as"):
        local_or_downloaded(name, "model folder")


def test_a_repository_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"somebody/model-v1\.5: no such model folder here, and .* the Hub") as error:
        local_or_downloaded("somebody/model-v1.5", "model folder")
    assert "\n" not in str(error.value)


class Refusing(socketserver.StreamRequestHandler):
    """A proxy that wants a password."""

    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


def test_a_proxy_that_refuses(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with socketserver.TCPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.server_address[1]}")
        huggingface_hub.close_session()
        try:
            with pytest.raises(InputError, match=r"somebody/model: .* cannot be downloaded from the Hub \(.*407"):
                local_or_downloaded("somebody/model", "model folder")
        finally:
            server.shutdown()
            huggingface_hub.close_session()


def test_a_full_disk_is_no_matter_of_names(monkeypatch):
    def fill(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fill)
    with pytest.raises(OSError, match="No space left"):
        local_or_downloaded("somebody/model", "model folder")


def test_a_repository_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--somebody--model-v1.5"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    (repository / "snapshots" / ("0" * 40) / "config.json").write_text("{}")
    assert (local_or_downloaded("somebody/model-v1.5", "model folder") / "config.json").read_text() == "{}"
