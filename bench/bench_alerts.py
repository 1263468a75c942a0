# SPDX-License-Identifier: AGPL-3.0-or-later
"""No alert lost, none acted on twice, whatever is killed: `python bench/bench_alerts.py [--alerts 2000]`.

Broker, service and subscriber run as processes of their own and are killed with SIGKILL at even intervals of the
subscriber's progress: the broker three times, the service twice, the subscriber twice. Then the database is compared
with the subscriber's own action log. Exit code 1 when anything is missing or double.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from alert_feeder import SITE_ID, raised
from sqlalchemy import func, select

from dronectl.bus.broker import BrokerChild, Kind
from dronectl.store import Store
from dronectl.store.models import AlertRow, OutboxRow
from dronectl.supervise import RestartBudget, keep_running

FEEDER = Path(__file__).parent / "alert_feeder.py"
TAIL = "from dronectl.cli.alerts import alerts_app; alerts_app()"


@dataclass(frozen=True)
class Outcome:
    """What the comparison gave. Good when nothing is lost or double and every kill took place."""

    alerts: int
    lost: int
    double: int
    open_messages: int
    sent: int
    lines: int
    kills: dict[str, int]
    seconds: float

    @property
    def good(self) -> bool:
        return not (self.lost or self.double or self.open_messages)


class Restarted:
    """A process that is started again, at once, whenever it is killed."""

    def __init__(self, command: list[str], output: Path) -> None:
        self._command = command
        self._output = output
        self.pid: int | None = None
        self.ended = asyncio.Event()

    async def run(self) -> None:
        while True:
            with self._output.open("ab") as output:
                process = await asyncio.create_subprocess_exec(*self._command, stdout=output, stderr=output)
            self.pid = process.pid
            try:
                code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if code == 0:
                self.ended.set()
                return
            if code != -signal.SIGKILL:
                raise RuntimeError(
                    f"{self._command[1:4]} ended with {code}: {self._output.read_text(encoding='utf-8')[-2000:]}"
                )


@contextlib.asynccontextmanager
async def running(*works: Callable[[], object]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(work()) for work in works]  # type: ignore[arg-type]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


def lines_of(log: Path) -> list[dict[str, object]]:
    """The complete lines of an action log."""
    if not log.exists():
        return []
    return [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]


async def play(
    folder: Path,
    total: int,
    *,
    broker_kills: int,
    service_kills: int,
    subscriber_kills: int,
    kind: Kind | None = None,
    per_second: float = 0.0,
    timeout_s: float = 1200.0,
) -> Outcome:
    """Play it all in `folder` and compare."""
    started = time.monotonic()
    child = BrokerChild(folder / "broker", SITE_ID, kind=kind)
    broker = child.prepare()
    database, log = folder / "site.db", folder / "dispatch.jsonl"
    service = Restarted(
        [sys.executable, str(FEEDER), str(database), str(broker.access_file), str(total), str(per_second)],
        folder / "service.txt",
    )
    tail = Restarted(
        [sys.executable, "-c", TAIL, "tail", "--ack", "--broker", str(broker.access_file), "--memory", str(log)],
        folder / "tail.txt",
    )
    parts: dict[str, tuple[int, Callable[[], int | None]]] = {
        "broker": (broker_kills, lambda: child.pid),
        "service": (service_kills, lambda: service.pid),
        "subscriber": (subscriber_kills, lambda: tail.pid),
    }
    plan = sorted(
        (total * (number + 1) / (kills + 1) + offset, name)
        for offset, (name, (kills, _)) in enumerate(parts.items())
        for number in range(kills)
    )
    kills: Counter[str] = Counter()
    budget = RestartBudget(restarts=1000, first_s=0.05, cap_s=0.5)

    async def keep_broker() -> None:
        await keep_running("broker", child.run, budget=budget)

    async with asyncio.timeout(timeout_s), running(keep_broker, service.run, tail.run):
        while not service.ended.is_set():
            await asyncio.sleep(0.02)
            if plan and len(lines_of(log)) >= plan[0][0]:
                name = plan[0][1]
                pid = parts[name][1]()
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    kills[name] += 1
                    plan.pop(0)
    return await compare(folder, total, kills, time.monotonic() - started)


async def compare(folder: Path, total: int, kills: Counter[str], seconds: float) -> Outcome:
    """The database against the subscriber's own log."""
    lines = lines_of(folder / "dispatch.jsonl")
    acted = Counter(str(line["id"]) for line in lines)
    new = Counter(str(line["alert_id"]) for line in lines if line["action"] == "new")
    newest: dict[str, int] = {}
    for line in lines:
        newest[str(line["alert_id"])] = max(newest.get(str(line["alert_id"]), 0), int(str(line["sequence"])))
    async with Store.open(folder / "site.db", SITE_ID) as store:
        things = await raised(store)
        async with store.reader() as session:
            alerts = {row.id: row.sequence for row in await session.execute(select(AlertRow.id, AlertRow.sequence))}
            open_messages = (
                await session.execute(select(func.count()).where(OutboxRow.closed_at.is_(None)))
            ).scalar_one()
            sent = (await session.execute(select(func.sum(OutboxRow.attempts)))).scalar_one()
    lost = total - len(things)
    lost += sum(newest.get(alert_id) != sequence for alert_id, sequence in alerts.items())
    double = sum(n - 1 for n in acted.values()) + sum(n - 1 for n in new.values()) + len(alerts) - len(things)
    return Outcome(len(alerts), lost, double, open_messages, sent, len(lines), dict(kills), seconds)


async def bench(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        outcome = await play(
            Path(folder),
            arguments.alerts,
            broker_kills=3,
            service_kills=2,
            subscriber_kills=2,
            kind=arguments.broker,
        )
    load = os.getloadavg()[0]
    print(f"alerts {outcome.alerts}, lost {outcome.lost}, acted on twice {outcome.double}")
    print(f"killed -9: {outcome.kills}; messages left open {outcome.open_messages}")
    print(f"counted sends {outcome.sent} of {outcome.lines} messages; {outcome.seconds:.0f} s, load average {load:.1f}")
    return 0 if outcome.good else 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=2000)
    parser.add_argument("--broker", choices=["mosquitto", "amqtt"])
    sys.exit(asyncio.run(bench(parser.parse_args())))


if __name__ == "__main__":
    main()
