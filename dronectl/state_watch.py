# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a running service does about its state folder: says when it does not take what happens, and stays findable.

A full disk or a folder that somebody deletes ends no flight and holds back no hold, return or land; what cannot be
kept is said in the log, in health and on the bus. Without the token and the address in the folder nobody could order
anything, and without `broker.json` nobody would find the alerts, so they are written again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable
from typing import Final, NoReturn

from dronectl.api.auth import keep_token
from dronectl.errors import words_of
from dronectl.paths import StateDir
from dronectl.store import Store
from dronectl.supervise import STORE_PART, ChildReport, ChildState

log = logging.getLogger(__name__)

_LOOK_S: Final = 2.0
_LAST_WAIT_S: Final = 1.0


async def watch_store(
    store: Store, note: Callable[[ChildReport], None], tell: Callable[[str | None], None]
) -> NoReturn:
    """Note and tell what is wrong with the store, and when it is over, until cancelled."""
    said: str | None = None
    note(ChildReport(STORE_PART, ChildState.RUNNING, 0, None))
    while True:
        try:
            trouble = await store.trouble()
        except Exception as error:  # noqa: BLE001  # to ask after the store must not end the service and its flights
            trouble = words_of(error)
        if trouble != said:
            said = trouble
            note(ChildReport(STORE_PART, ChildState.RUNNING if trouble is None else ChildState.WAITING, 0, trouble))
            tell(None if trouble is None else f"alerts and flights cannot be kept: {trouble}")
            if trouble is None:
                log.warning("the store works again")
            else:
                log.error("flights go on, but what happens cannot be kept: %s", trouble)
        await asyncio.sleep(_LOOK_S)


def announce(state: StateDir, url: str) -> None:
    """Say in the state folder where the door is. Raises OSError."""
    temporary = state.service_file.with_suffix(".new")
    temporary.write_text(json.dumps({"pid": os.getpid(), "url": url}), encoding="utf-8")
    temporary.replace(state.service_file)


async def stay_findable(state: StateDir, token: str, url: str, broker_files: Callable[[], bool]) -> NoReturn:
    """Write again what is gone of token, address and the broker's files, until cancelled: we are found by them.

    broker_files: writes those of the broker that are gone, and says whether any was; raises OSError.
    """
    failing = ""
    while True:
        await asyncio.sleep(_LOOK_S)
        writing = asyncio.ensure_future(asyncio.to_thread(_write_again, state, token, url, broker_files))
        try:
            if written := await asyncio.shield(writing):
                log.error("%s: %s were gone and are written again; the service goes on", state.root, written)
            failing = ""
        except asyncio.CancelledError:
            await asyncio.wait([writing], timeout=_LAST_WAIT_S)  # whoever ends takes the address back after this
            raise
        except OSError as error:
            if str(error) != failing:
                failing = str(error)
                log.error("what the service is found by is gone and cannot be written: %s", error)  # noqa: TRY400  # one line


def _write_again(state: StateDir, token: str, url: str, broker_files: Callable[[], bool]) -> str:
    """Returns what was written, in words."""
    written = []
    if not (state.token.exists() and state.service_file.exists()):
        state.create()
        if not state.token.exists():
            keep_token(state.token, token)
        announce(state, url)
        written.append("token and address")
    if broker_files():
        written.append("files of the broker")
    return ", ".join(written)
