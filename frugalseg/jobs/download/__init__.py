"""Published files: transferred over HTTP, compared with what they were before, unpacked, and put in their places."""

from frugalseg.jobs.download.run import Request, download

__all__ = ["Request", "download"]
