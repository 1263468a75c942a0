# SPDX-License-Identifier: AGPL-3.0-or-later
"""`dronectl alerts tail`: alerts as the dispatch system gets them, printed once, and acknowledged on request.

What has been acted on is in one append-only file; after any crash of anything, a message that comes again is
acknowledged again and acted on once. It is acted on when it was printed: what standard output did not take (a full
disk, a closed pipe) is neither remembered nor acknowledged, so that it comes again. While the broker is away it waits and says so.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dronectl.alerts.card import card
from dronectl.alerts.memory import ActionLog
from dronectl.bus.broker import ACCESS_FILE
from dronectl.bus.envelope import CloudEvent, decode
from dronectl.bus.messages import Alert, ServiceStatus
from dronectl.bus.settings import BrokerAccess, access_from
from dronectl.bus.subscriber import Subscriber
from dronectl.cli.common import (
    JsonOption,
    SiteOption,
    StateOption,
    end_with_input,
    err,
    open_site,
    out,
    site_state,
)
from dronectl.cli.spoken import LanguageOption
from dronectl.errors import BadInputError, UnavailableError
from dronectl.language import speak, tr

alerts_app = typer.Typer(
    help="Alerts, as the dispatch system gets them over MQTT.\n\n"
    "Example: dronectl alerts tail --ack --site site.yaml. For a dispatch system of your own: docs/mqtt.md.",
    no_args_is_help=True,
)


@alerts_app.callback()
def _alerts() -> None:
    """Keep `tail` a word of its own, also while it is the only one."""


@alerts_app.command()
def tail(
    ack: Annotated[bool, typer.Option("--ack", help="Acknowledge each message, as a dispatch system does.")] = False,
    memory: Annotated[
        Path | None,
        typer.Option(
            help="Append-only file of what was acted on. Default: dispatch.jsonl in the state folder.", metavar="FILE"
        ),
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option(
            envvar="DRONECTL_BROKER",
            help="mqtt[s]://[user:password@]host[:port], or a broker.json. Default: the site's own broker.",
        ),
    ] = None,
    by: Annotated[str, typer.Option(help="Who acknowledges.", metavar="NAME")] = "alerts-tail",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many messages.")] = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.0, help="Give up with code 3 when the broker is away for so long.", metavar="S"),
    ] = None,
    exit_with_parent: Annotated[
        bool,
        typer.Option("--exit-with-parent", help="End when standard input closes, for programs that start this one."),
    ] = False,
    site: SiteOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
    lang: LanguageOption = None,
) -> None:
    """Print alerts as they come, each message once; with --ack the site stops repeating them.

    Without --ack nothing is acknowledged, and the site goes on sending to the dispatch system. The picture after `look`
    is given only with the site's token, so a browser gets 401: docs/mqtt.md has the line for curl.
    """
    speak(lang)
    loaded = open_site(site)
    folder = site_state(loaded, state).root
    where = broker or str(folder / "broker" / ACCESS_FILE)
    if "://" in where or broker is not None:
        access_from(where)  # a typing mistake is said at once, not waited for
    settings = TailSettings(
        site_id=loaded.site_id,
        access=lambda: access_from(where),
        memory=memory or folder / "dispatch.jsonl",
        ack=ack,
        by=by,
        count=count,
        timeout_s=timeout,
        show=show_json if as_json else show_card,
        say=lambda words: err.print(words, markup=False),
        exit_with_parent=exit_with_parent,
    )
    asyncio.run(run_tail(settings))


@dataclass(frozen=True, slots=True)
class TailSettings:
    """What `run_tail` needs; `access` is asked before each connection, `show` prints a message, `say` a remark."""

    site_id: str
    access: Callable[[], BrokerAccess]
    memory: Path
    ack: bool
    by: str
    count: int | None
    timeout_s: float | None
    show: Callable[[CloudEvent[Alert], datetime], None]
    say: Callable[[str], None]
    exit_with_parent: bool = False


def show_card(event: CloudEvent[Alert], _received: datetime) -> None:
    """Print for people."""
    out.print(card(event.data))


def show_json(event: CloudEvent[Alert], received: datetime) -> None:
    """Print one JSON line: the message as it came, and when."""
    sys.stdout.write(json.dumps({"received_at": received.isoformat(), **event.model_dump(mode="json")}) + "\n")
    sys.stdout.flush()


async def run_tail(settings: TailSettings) -> None:
    """Follow the alerts until SIGINT, SIGTERM, or the wanted count. Raises UnavailableError after the time-out."""
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    if settings.exit_with_parent:
        await end_with_input(done.set)
    with ActionLog(settings.memory) as log:
        if len(log):
            settings.say(
                tr(
                    "{alerts} alerts ({messages} messages) are known from {file}",
                    alerts=log.alerts,
                    messages=len(log),
                    file=settings.memory,
                )
            )
        tail_ = _Tail(settings, log, done)
        identifier = hashlib.sha256(os.fsencode(settings.memory.absolute())).hexdigest()[:12]
        subscriber = Subscriber(
            settings.site_id,
            settings.access,
            tail_.on_alert,
            tail_.on_connection,
            f"dispatch-{identifier}",
            lasting=settings.ack,
            on_service=tail_.on_service,
        )
        tasks = [asyncio.ensure_future(work) for work in (subscriber.run(), tail_.watch(), done.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
    if tail_.garbage:
        settings.say(tr("{count} messages could not be read", count=tail_.garbage))
    for result in results:
        if isinstance(result, Exception):
            raise (result.__cause__ or result) if isinstance(result, _NotTakenError) else result


class _NotTakenError(Exception):
    """Standard output or the memory did not take a message. Connecting to the broker again would not mend that."""


class _Tail:
    def __init__(self, settings: TailSettings, log: ActionLog, done: asyncio.Event) -> None:
        self._s = settings
        self._log = log
        self._done = done
        self._left = settings.count
        self._down_since: float | None = asyncio.get_running_loop().time()
        self._said: str | None = None
        self._said_of_service: str | None = None
        self._reason = tr("the broker has not answered yet")
        self.garbage = 0

    async def on_alert(self, subscriber: Subscriber, payload: bytes) -> None:
        """Print, then write down that this was done, then acknowledge; the last each time that the message comes.

        In this order, what could not be printed comes again. A kill between the first two prints it twice.
        """
        try:
            event: CloudEvent[Alert] = decode("alert", payload)
        except ValueError:
            self.garbage += 1
            return
        received, alert = datetime.now(UTC), event.data
        fresh = not self._log.has(event.id)
        if fresh:
            try:
                self._s.show(event, received)
                self._log.add([_entry(event, received, newest=alert.sequence > self._log.newest(alert.alert_id))])
            except (OSError, BadInputError) as error:
                raise _NotTakenError from error
        if self._s.ack:
            await subscriber.acknowledge(alert.alert_id, alert.sequence, by=self._s.by, now=received)
        if fresh and self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._done.set()

    def on_connection(self, up: bool, words: str) -> None:
        """Say a change once."""
        now = asyncio.get_running_loop().time()
        if up:
            self._down_since = None
        else:
            self._down_since = now if self._down_since is None else self._down_since
            self._reason = words
        line = tr("connected to {broker}", broker=words) if up else tr("waiting: {why}", why=words)
        if line != self._said:
            self._s.say(line)
        self._said = line

    def on_service(self, payload: bytes) -> None:
        """Say once what keeps alerts back: no service, or one that says what it cannot do; and when that is over."""
        try:
            event: CloudEvent[ServiceStatus] = decode("service_status", payload)
        except ValueError:
            self.garbage += 1
            return
        status, line = event.data, None
        if status.status == "offline":
            why = status.reason or tr("no reason given")
            line = tr("the service is offline ({why}): no alerts come until it runs again", why=why)
        elif status.reason is not None:
            line = tr("the service says: {what}", what=status.reason)
        if line != self._said_of_service:
            self._s.say(line or tr("the service works again"))
        self._said_of_service = line

    async def watch(self) -> None:
        """End with UnavailableError when the broker has been away for too long."""
        while True:
            await asyncio.sleep(0.1)
            since, limit_s = self._down_since, self._s.timeout_s
            if limit_s is not None and since is not None and asyncio.get_running_loop().time() - since >= limit_s:
                raise UnavailableError(tr("{why} (waited {seconds:g} s)", why=self._reason, seconds=limit_s))


def _entry(event: CloudEvent[Alert], received: datetime, *, newest: bool) -> dict[str, Any]:
    alert = event.data
    return {
        "id": event.id,
        "alert_id": alert.alert_id,
        "sequence": alert.sequence,
        "action": str(alert.phase) if newest else "overtaken",
        "level": str(alert.level),
        "kind": alert.kind,
        "observed_at": alert.observed_at.isoformat(),
        "received_at": received.isoformat(),
    }
