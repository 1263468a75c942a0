# SPDX-License-Identifier: AGPL-3.0-or-later
"""Commands whose modules are imported only when somebody asks for them: `dronectl up` must not wait for planners."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup


class LazyGroup(TyperGroup):
    """A group with commands of its own, and others that are named here as (module, function)."""

    lazy: ClassVar[dict[str, tuple[str, str]]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Names for the help, which imports them all."""
        return [*super().list_commands(ctx), *self.lazy]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command's module, and make the command of its function."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, function = self.lazy[cmd_name]
        one = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
        one.command(cmd_name)(getattr(importlib.import_module(module), function))
        return typer.main.get_command(one)
