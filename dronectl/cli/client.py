# SPDX-License-Identifier: AGPL-3.0-or-later
"""The command line's way to the running service: HTTP on loopback with the token from the site's state folder."""

from __future__ import annotations

import json
from typing import Any

import httpx

from dronectl.errors import BadInputError, UnavailableError
from dronectl.language import tr
from dronectl.paths import StateDir


class ServiceLostError(UnavailableError):
    """The service is not there, or went away in the middle of a request. One line: what happened, and the mend.

    what: the line without the mend, for commands that know a better one. asked: the request may have been carried out.
    """

    def __init__(self, what: str, *, asked: bool) -> None:
        super().__init__(tr("{what}; start it with `dronectl up`", what=what))
        self.what, self.asked = what, asked


class ServiceClient:
    """One command's conversation with the service."""

    def __init__(self, state: StateDir, timeout_s: float = 30.0) -> None:
        try:
            url = str(json.loads(state.service_file.read_text(encoding="utf-8"))["url"])
            token = state.token.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            what = tr("no service runs for this site (looked in {folder})", folder=state.root)
            raise ServiceLostError(what, asked=False) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = tr("{file}: cannot be read ({error})", file=state.service_file, error=error)
            raise ServiceLostError(what, asked=False) from error
        self.url = url
        self._timeout_s = timeout_s
        self.token = token
        self._http = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=timeout_s, trust_env=False
        )

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Return the decoded answer. 4xx is BadInputError, 5xx UnavailableError, no answer ServiceLostError."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.ConnectError:
            raise ServiceLostError(tr("the service does not answer at {url}", url=self.url), asked=False) from None
        except httpx.TimeoutException as error:
            what = tr(
                "the service at {url} gave no answer within {seconds:g} s: it hangs, or is too busy",
                url=self.url,
                seconds=self._timeout_s,
            )
            raise ServiceLostError(what, asked=True) from error
        except httpx.HTTPError as error:
            what = tr(
                "the service at {url} went away in the middle of a request: it was stopped or has died", url=self.url
            )
            raise ServiceLostError(what, asked=True) from error
        try:
            content = answer.json()
        except ValueError:
            content = None
        if answer.is_success:
            return content
        detail = content.get("detail") if isinstance(content, dict) else None
        message = detail if isinstance(detail, str) else f"the service answered {answer.status_code}: {detail}"
        if answer.status_code >= 500:
            raise UnavailableError(message)
        raise BadInputError(message)

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        return self.request("POST", path, body)
