"""Names of repositories on the Hugging Face Hub: how they are told from paths, and how one is downloaded."""

import re
from pathlib import Path

from frugalseg.support.errors import InputError
from frugalseg.support.files import disk_error
from frugalseg.support.paths import as_path

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
"""``owner/name``. Names may hold dots (``model-v1.5``), but neither they nor owners begin with one."""
LONGEST_ID = 96
BUILTIN = "builtin:"
"""Before the names of networks that come with the package or with one that it depends on."""
FILE_ENDINGS = (
    *(".bin", ".ckpt", ".gz", ".h5", ".json", ".npy", ".npz", ".onnx", ".pickle", ".pkl", ".pt", ".pth"),
    *(".safetensors", ".tar", ".tgz", ".zip"),
)
"""A name with one of these endings is a file that is missing here, not a repository."""


def is_hub_id(name: str | Path) -> bool:
    """Whether `name` has the form of a Hub repository, ``owner/name``.

    Paths such as ``./model``, ``../model``, ``~/model``, ``/data/model``, ``a/b/c``, ``folder/`` and
    ``folder/weights.pt`` have not. Whether a local folder of that name exists is not looked at: it wins, so look first.
    """
    text = str(name)
    if not HUB_ID.fullmatch(text) or len(text) > LONGEST_ID:
        return False
    return not text.lower().endswith(FILE_ENDINGS) and "--" not in text and ".." not in text


def local_or_downloaded(name: str | Path, what: str) -> Path:
    """The folder `name`; where there is none, a copy of the Hub repository of that name, downloaded unless cached.

    Args:
        name: a local folder, which wins, or a Hub id.
        what: what is looked for, for the errors: ``model folder``.

    Raises:
        InputError: there is no such folder, and `name` is no Hub id or the repository cannot be downloaded.
    """
    folder = as_path(name, what)
    if folder.is_dir():
        return folder
    if not is_hub_id(name):
        raise InputError(f"{name}: no such {what}; give an existing folder, or a Hub id such as owner/name")
    return downloaded(str(name), what)


def downloaded(hub_id: str, what: str) -> Path:
    """The local copy of a Hub repository; `InputError` where it cannot be had."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id))
    # Proxies that refuse and connections that break end in errors of whichever library it asks with.
    except Exception as error:
        if disk_error(error) is not None:
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{hub_id}: no such {what} here, and it cannot be downloaded from the Hub ({reason}); "
            "check the name and the connection"
        ) from None
