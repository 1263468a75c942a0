# SPDX-License-Identifier: AGPL-3.0-or-later
"""The JSON Schemas of all messages and the AsyncAPI document, generated from the models: `python -m dronectl.bus.schema` rewrites the files.

They are package data in `dronectl/bus/schemas/`; a test fails when they are stale.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from dronectl.bus import asyncapi
from dronectl.bus.envelope import ENVELOPES, event_type


def generate() -> dict[str, str]:
    """File name to text: one JSON Schema (2020-12) per message, the whole CloudEvent with its data, and asyncapi.json."""
    texts = {}
    for name, envelope in ENVELOPES.items():
        mode = "validation" if name in {"ack", "action"} else "serialization"
        schema = envelope.model_json_schema(mode=mode)  # type: ignore[arg-type]  # a Literal
        schema["properties"]["type"]["const"] = event_type(name)
        head = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:dronectl:schema:v1:{name}",
            "title": f"dronectl {name.replace('_', ' ')}",
        }
        schema.pop("title", None)
        texts[f"{name}.json"] = json.dumps({**head, **schema}, indent=2, ensure_ascii=False) + "\n"
    texts["asyncapi.json"] = json.dumps(asyncapi.document(), indent=2, ensure_ascii=False) + "\n"
    return texts


def read(name: str) -> dict[str, object]:
    """Read one shipped schema."""
    text = files("dronectl.bus").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    document = json.loads(text)
    if not isinstance(document, dict):
        raise TypeError(f"schemas/{name}.json is no object")
    return document


def main() -> None:
    folder = Path(__file__).parent / "schemas"
    folder.mkdir(exist_ok=True)
    for name, text in generate().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
