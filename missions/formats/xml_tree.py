# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reading XML that strangers wrote, and zip archives around it.

Document types and entities are refused outright (they are how few bytes become many), depth and number of elements
are bounded, and every element keeps its line. Archives are read with a bound on what they unpack to.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers import expat  # document types are refused below, and with them every entity
from xml.sax.saxutils import escape, quoteattr

from missions.errors import PlanError

MAX_DEPTH: Final = 100
MAX_ELEMENTS: Final = 2_000_000
MAX_UNPACKED_BYTES: Final = 64_000_000
_MAX_ENTRIES: Final = 2000
_STAMP: Final = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows: same content, same bytes


@dataclass(slots=True)
class Element:
    """An element without its namespace prefix; `space` is the namespace's URI."""

    source: str
    tag: str
    space: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"line {self.line}"

    def fail(self, message: str) -> NoReturn:
        raise PlanError(f"{self.source}: line {self.line}: <{self.tag}> {message}")

    def find(self, tag: str) -> Element | None:
        return next((c for c in self.children if c.tag == tag), None)

    def get(self, tag: str) -> Element:
        found = self.find(tag)
        if found is None:
            self.fail(f"lacks <{tag}>")
        return found

    def all(self, tag: str) -> Iterator[Element]:
        return (c for c in self.children if c.tag == tag)

    def word(self) -> str:
        return self.text.strip()

    def number(self) -> float:
        return number_of(self.word(), self)


def number_of(text: str, at: Element) -> float:
    """A finite number; PlanError names the element."""
    try:
        value = float(text)
    except ValueError:
        at.fail(f"holds {text[:40]!r}, which is no number")
    if not abs(value) < float("inf"):
        at.fail("holds a number that is not finite")
    return value


def parse_xml(data: bytes, source: str) -> Element:
    """The root element. Raises PlanError naming the line."""
    parser = expat.ParserCreate(namespace_separator=" ")
    stack: list[Element] = []
    roots: list[Element] = []
    texts: list[list[str]] = []
    count = 0

    def refuse(what: str) -> NoReturn:
        raise PlanError(f"{source}: line {parser.CurrentLineNumber}: {what}")

    def doctype(*_: object) -> NoReturn:
        refuse("declares a document type or entities, which is refused; remove the DOCTYPE")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(stack) >= MAX_DEPTH or count > MAX_ELEMENTS:
            refuse("is nested too deeply or has too many elements")
        space, _, tag = name.rpartition(" ")
        plain = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        element = Element(source, tag, space, plain, parser.CurrentLineNumber)
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)
        texts.append([])

    def end(_name: str) -> None:
        stack.pop().text = "".join(texts.pop())

    def text(data: str) -> None:
        if texts:
            texts[-1].append(data)

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = doctype
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, PlanError):
            raise
        where = f"line {error.lineno}: " if isinstance(error, expat.ExpatError) else ""
        raise PlanError(f"{source}: {where}not XML: {error}") from error
    return roots[0]


def unzip(data: bytes, source: str) -> dict[str, bytes]:
    """The entries of an archive that hold KML or WPML, by name. Raises PlanError; bombs are refused unread."""
    found: dict[str, bytes] = {}
    left = MAX_UNPACKED_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > _MAX_ENTRIES:
                raise PlanError(f"{source}: holds {len(entries)} files; no flight file does")
            for entry in entries:
                if not entry.filename.lower().endswith((".kml", ".wpml")):
                    continue
                with archive.open(entry) as packed:
                    content = packed.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise PlanError(
                        f"{source}: unpacks to more than {MAX_UNPACKED_BYTES // 1_000_000} MB; no plan does"
                    )
                found[entry.filename] = content
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError, ValueError) as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(f"{source}: is no readable zip archive: {error}") from error
    except zlib.error as error:
        raise PlanError(f"{source}: is a damaged zip archive: {error}") from error
    return found


def zipped(files: dict[str, bytes]) -> bytes:
    """An archive of these files; the same content gives the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, _STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return out.getvalue()


class XmlText:
    """XML written line by line."""

    def __init__(self) -> None:
        self._lines = ['<?xml version="1.0" encoding="UTF-8"?>']
        self._open: list[str] = []

    def start(self, tag: str, **attributes: str) -> None:
        self._lines.append(f"{'  ' * len(self._open)}<{tag}{_attributes(attributes)}>")
        self._open.append(tag)

    def end(self) -> None:
        tag = self._open.pop()
        self._lines.append(f"{'  ' * len(self._open)}</{tag}>")

    def leaf(self, tag: str, text: str | float, **attributes: str) -> None:
        word = text if isinstance(text, str) else plain(text)
        self._lines.append(f"{'  ' * len(self._open)}<{tag}{_attributes(attributes)}>{xml_text(word)}</{tag}>")

    def data(self) -> bytes:
        return ("\n".join(self._lines) + "\n").encode()


def plain(value: float) -> str:
    """A number without an exponent where one can do without, exact on reading."""
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def xml_text(text: str) -> str:
    """Escaped, without the control characters that XML cannot hold; carriage returns survive as references."""
    return escape("".join(c for c in text if c in "\t\n\r" or (c >= " " and c not in "\ufffe\uffff")), {"\r": "&#13;"})


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f" {name.replace('__', ':')}={quoteattr(value)}" for name, value in attributes.items())
