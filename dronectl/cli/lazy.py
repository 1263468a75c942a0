# SPDX-License-Identifier: AGPL-3.0-or-later
"""Commands whose modules are imported only when somebody asks for them: `dronectl up` must not wait for planners."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup


class LazyGroup(TyperGroup):
    """A group with commands of its own, and others that are named here.

    Each as (module, function or Typer of a group, its line in this group's help: the first paragraph of its own help).
    """

    lazy: ClassVar[dict[str, tuple[str, str, str]]] = {}
    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names for the help."""
        return [*super().list_commands(ctx), *self.lazy]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The group's help, at once: no command is imported for a line about it."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command's module, and make the command of its function, or the group of its Typer."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, name, line = self.lazy[cmd_name]
        if self._listing:
            return TyperCommand(cmd_name, help=line)
        found = getattr(importlib.import_module(module), name)
        one = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
        if isinstance(found, typer.Typer):
            one.add_typer(found, name=cmd_name)
            return typer.main.get_group(one).commands[cmd_name]
        one.command(cmd_name)(found)
        return typer.main.get_command(one)
