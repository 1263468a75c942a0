# SPDX-License-Identifier: AGPL-3.0-or-later
"""YAML files checked by Pydantic, with errors that name file, line and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from dronectl.errors import BadInputError

Model = TypeVar("Model", bound=BaseModel)
_MAX_BYTES = 8 * 1024 * 1024
_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as quick, where PyYAML was built with it


def _line_of(node: yaml.Node | None, path: tuple[int | str, ...]) -> int | None:
    """Line of the deepest part of `path` that the document has; a key that should not be there has a line too."""
    if node is None:
        return None
    line = node.start_mark.line + 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                break
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return int(line)


def _reject_duplicate_keys(node: yaml.Node | None, file: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise BadInputError(
                        f"{file}:{key.start_mark.line + 1}: {key.value}: stands here for the second time "
                        f"(first in line {seen[key.value]}); keep one"
                    )
                seen[key.value] = key.start_mark.line + 1
            _reject_duplicate_keys(value, file)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _reject_duplicate_keys(item, file)


def _reject_aliases(text: str, file: Path, loader: Any) -> None:
    """Aliases can make a document endless or enormous, and no configuration needs them."""
    for token in yaml.scan(text, Loader=loader):
        if isinstance(token, yaml.AliasToken):
            line = token.start_mark.line + 1
            raise BadInputError(f"{file}:{line}: *{token.value}: aliases are not allowed here; write the value out")


def _parsed(text: str, file: Path, loader: Any) -> tuple[yaml.Node | None, Any]:
    _reject_aliases(text, file, loader)
    return yaml.compose(text, Loader=loader), yaml.load(text, Loader=loader)  # noqa: S506 -- both are safe loaders


def _read(text: str, file: Path) -> tuple[yaml.Node | None, Any]:
    try:
        return _parsed(text, file, _QUICK)
    except yaml.YAMLError as error:
        if "nesting depth" in str(error):  # the plain reader would take minutes to come to the same end
            raise RecursionError from error
        # for the rest it says better what is wrong
        return _parsed(text, file, yaml.SafeLoader)


def load_yaml(file: Path, model: type[Model]) -> tuple[Model, LineFinder]:
    """Read and check a YAML file. Raises BadInputError with one line per finding."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise BadInputError(f"{file}: larger than {_MAX_BYTES // 2**20} MiB, which no configuration file is")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"{file}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"{file}: is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    try:
        node, document = _read(text, file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise BadInputError(f"{file}:{line}: is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise BadInputError(f"{file}: is not YAML: {error}") from error
    except RecursionError:
        raise BadInputError(f"{file}: is nested too deep for a configuration file") from None
    if not isinstance(document, dict):
        raise BadInputError(f"{file}: must be a mapping of fields, not {type(document).__name__}")
    _reject_duplicate_keys(node, file)
    finder = LineFinder(file, node)
    try:
        return model.model_validate(document), finder
    except ValidationError as error:
        raise BadInputError("\n".join(finder.say(_clean(e["loc"]), _message(e)) for e in error.errors())) from error


def _clean(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Drop the steps that Pydantic adds for unions and validators."""
    return tuple(step for step in loc if not (isinstance(step, str) and ("[" in step or "-" in step)))


def _message(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "is not a field that is known here; check its spelling or remove it"
    if error["type"] == "missing":
        return "is missing; add it"
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{text} (got {error['input']!r})" if isinstance(error["input"], str | int | float | bool) else text


class LineFinder:
    """Says where in a YAML file a field stands."""

    def __init__(self, file: Path, node: yaml.Node | None) -> None:
        self._file = file
        self._node = node

    def say(self, path: tuple[int | str, ...], message: str) -> str:
        """`file:line: field: message`."""
        line = _line_of(self._node, path)
        field = ".".join(str(step) for step in path)
        return f"{self._file}:{line}: {field}: {message}" if field else f"{self._file}:{line}: {message}"
