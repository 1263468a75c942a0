# SPDX-License-Identifier: AGPL-3.0-or-later
"""The review page: one HTML file with a card for each track and each detection of a still, pictures beside it.

Everything that comes from file names or metadata enters the page as data and is shown as text; the page may load
nothing but its pictures (Content-Security-Policy, with the hash of its one script).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Final

from vision.review_things import Looked, Thing

_TEMPLATE: Final = Path(__file__).with_name("review_page.html")
_SCRIPT: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# what could end the block of data, or begin a comment in it
_ESCAPES: Final = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@lru_cache(maxsize=1)
def _page() -> tuple[str, str]:
    """The page before and after its data."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    script = _SCRIPT.search(text)
    if script is None:
        raise ValueError("the template of the review page has no script")
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src 'self' file:"
    before, after = text.replace("{{CSP}}", policy).split("{{DATA}}")
    return before, after


def encode(value: object) -> str:
    """JSON that can stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def page(found: Iterable[Thing], run: str, pictures: str, looked: Looked) -> Iterator[str]:
    """The page in parts. run: tells this run's judgements from another's; pictures: the folder beside the page."""
    before, after = _page()
    yield f'{before}{{"run":{encode(run)},"pictures":{encode(pictures)},"looked":{encode(looked.facts())},"things":['
    for number, thing in enumerate(found):
        yield ("," if number else "") + encode({k: v for k, v in asdict(thing).items() if v is not None})
    yield f"]}}{after}"
