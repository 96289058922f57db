"""What the tests of generated sets share: small shards, a run that is stopped, and the bytes of a set."""

import hashlib

from frugalseg.synthetic import generate


class Stop(Exception):
    """Ends a run from within its progress report."""


def stop_at(moment):
    def progress(_, done, __):
        if done == moment:
            raise Stop

    return progress


def files(folder):
    """Every file's bytes by name, but for the log."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir() if p.suffix != ".log"}


def make(segmenter, source, out, **more):
    return generate(segmenter, source, out, **{"batch_size": 3, "shard_size": 4, **more})
