# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m dronectl.bus.amqtt_child CONFIG.json`: the amqtt broker in a process of its own, until SIGTERM.

The configuration names host, port, passwords and who may read and write what. Only users with a password are let in.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.plugins.base import BaseAuthPlugin
from amqtt.session import Session


class PasswordPlugin(BaseAuthPlugin):
    """Lets in who knows the password of a user; amqtt's own plugin would hash each attempt for a tenth of a second."""

    async def authenticate(self, *, session: Session) -> bool | None:
        passwords: dict[str, str] = self._get_config_option("passwords", {})
        expected = passwords.get(session.username or "")
        if expected is None:
            return False
        return hmac.compare_digest(expected.encode(), (session.password or "").encode())

    @dataclass
    class Config:
        """Username to password."""

        passwords: dict[str, str] = field(default_factory=dict)


async def serve(config: dict[str, Any]) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{config['host']}:{config['port']}"}},
            "plugins": {
                "dronectl.bus.amqtt_child.PasswordPlugin": {"passwords": config["passwords"]},
                "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {
                    "acl": config["read"],
                    "publish_acl": config["write"],
                },
            },
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


def main() -> None:
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(serve(json.loads(Path(sys.argv[1]).read_bytes())))


if __name__ == "__main__":
    main()
