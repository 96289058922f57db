"""Several processes that share a training, as if each were on a machine of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COUNT = 2


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def variables(rank: int, port: int, torchrun: bool) -> dict[str, str]:
    """What the process of a node finds in its environment: torchrun's variables, or those that Lightning asks for."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": str(rank), "GROUP_RANK": str(rank)}
    if not torchrun:
        return common
    ours = {"RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(COUNT), "LOCAL_WORLD_SIZE": "1"}
    return common | ours | {"TORCHELASTIC_RUN_ID": "none"}


def run_on_two_nodes(script: str, folder: Path, *arguments: Path, torchrun: bool = True) -> list[str]:
    """Run `script` once for each node; what each of them printed.

    Raises:
        RuntimeError: one of them failed, or they took more than five minutes.
    """
    path, port = folder / "script.py", free_port()
    path.write_text(script)
    base = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(path), *map(str, arguments)]
    nodes = [
        subprocess.Popen(
            command,
            env=base | variables(rank, port, torchrun),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(COUNT)
    ]
    try:
        said = [node.communicate(timeout=300)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    if any(node.returncode for node in nodes):
        raise RuntimeError("\n".join(said))
    return said
