"""Reads a page as a browser would, strictly."""

import base64
import io
from html.parser import HTMLParser

from PIL import Image

VOID = {"meta", "img", "source", "br", "link", "input"}


class Reader(HTMLParser):
    """Collects what a page refers to, and fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "data", "poster")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    def pictures(self) -> list[Image.Image]:
        """Every picture of the page, decoded."""
        images = []
        for reference in self.references:
            head, _, content = reference.partition(";base64,")
            assert head in ("data:image/png", "data:image/jpeg")
            image = Image.open(io.BytesIO(base64.b64decode(content, validate=True)))
            image.load()
            images.append(image)
        return images


def check_offline(text: str) -> Reader:
    """Assert that a page is well formed, holds all its pictures and asks for nothing from outside."""
    reader = Reader(text)
    reader.pictures()
    assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text
    assert "script" not in reader.tags and "link" not in reader.tags
    return reader
