# SPDX-License-Identifier: AGPL-3.0-or-later
import stat

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from dronectl.api.auth import Doorkeeper, read_or_make_token
from dronectl.operations.http_counts import HttpCounts

TOKEN = "t" * 40


async def hello(_request):
    return PlainTextResponse("hello")


@pytest.fixture
def client():
    app = Starlette(routes=[Route("/x", hello, methods=["GET", "POST"]), Route("/health", hello)])
    door = Doorkeeper(app, TOKEN, ("127.0.0.1", "localhost", "::1"), HttpCounts())
    return httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://127.0.0.1:24880")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}"}, 200),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example:24880"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "null"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://[::1"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "http://localhost:24880"}, 200),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "[::1]:24880"}, 200),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "[::1"}, 421),
    ],
)
async def test_only_the_token_from_here_gets_in(client, headers, status):
    async with client:
        assert (await client.get("/x", headers=headers)).status_code == status
        assert (await client.post("/x", headers=headers)).status_code == status


async def test_health_needs_no_token_but_a_known_host(client):
    async with client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.get("/health", headers={"Host": "evil.example"})).status_code == 421


def test_token_file_is_private_and_kept(tmp_path):
    file = tmp_path / "token"
    token = read_or_make_token(file)
    assert len(token) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert read_or_make_token(file) == token
    file.write_text("short")
    assert read_or_make_token(file) != "short"
