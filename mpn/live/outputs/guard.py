"""Who may ask the page for what: its names, its token, its own posts, short bodies; and headers.

On a loopback address whoever is on this machine may come, by a name of this machine: a page of
elsewhere whose name points here may not. Anywhere else, and behind a proxy, a token is asked for:
in the address (then a cookie has it), or as a bearer token. Without it there is nothing but
/healthz.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mpn.live.outputs.settings import is_loopback

HEALTH = "/healthz"
LONGEST_BODY = 10_000  # bytes
LONGEST_QUERY = 2_000  # characters
COOKIE_SECONDS = 30 * 86_400
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
STRANGER = "a token is needed: open the whole address that mpn watch has printed"


def host_of(named: str) -> str:
    """Return the name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{named}").hostname or "").lower()
    except ValueError:
        return ""


@dataclass(frozen=True)
class Access:
    """Who may come.

    Attributes:
        token: what a visitor has to know, None where anyone on this machine may come.
        hosts: names beside those of this machine by which the page may be called; None: any (what
            listens on all addresses does not know its names, and has a token).
        cookie: the name of the cookie: one for each port, which cookies do not tell apart.
    """

    token: str | None
    hosts: Sequence[str] | None
    cookie: str = "mpn"

    def known_host(self, request: Request) -> bool:
        """Say whether the page was called by a name of its own."""
        host = host_of(request.headers.get("host", ""))
        if self.hosts is None:
            return bool(host)
        return is_loopback(host) or host in self.hosts

    def knows_token(self, request: Request) -> bool:
        """Say whether who asks is let in."""
        if self.token is None:
            return True
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and _same(token.strip(), self.token):
            return True
        return _same(request.cookies.get(self.cookie, ""), self.cookie_value())

    def cookie_value(self) -> str:
        """Make the cookie's value: who reads it does not have the token."""
        assert self.token is not None
        return hmac.new(self.token.encode(), b"mpn page", hashlib.sha256).hexdigest()

    def own_post(self, request: Request) -> bool:
        """Say whether a request that changes something comes from the page itself."""
        origin, host = request.headers.get("origin", ""), request.headers.get("host", "")
        scheme, _, name = origin.partition("://")
        return scheme in ("http", "https") and bool(host) and name.lower() == host.lower()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), expected.encode())


class Guard:
    """Stands before an app: answers what may not pass, and gives every answer its headers.

    Args:
        app: what is guarded.
        access: who may come.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let it pass."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None  # a websocket is closed so
        answer = self._refused(Request(scope)) or self.app
        return await answer(scope, receive, with_headers(send))

    def _refused(self, request: Request) -> Response | None:
        access = self.access
        if not access.known_host(request):
            return PlainTextResponse("this server has another name", 403)
        if request.method not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("GET, HEAD or POST was expected", 405)
        if len(request.scope["query_string"]) > LONGEST_QUERY:
            return PlainTextResponse("the address is too long", 414)
        if request.url.path == HEALTH and request.method != "POST":
            return None
        if not access.knows_token(request):
            return self._let_in(request) or PlainTextResponse(
                STRANGER, 401, {"WWW-Authenticate": "Bearer"}
            )
        if request.method == "POST":
            return self._refused_post(request)
        # A token that is not needed any more is not left in the address.
        return self._let_in(request) if "token" in request.query_params else None

    def _let_in(self, request: Request) -> Response | None:
        """Turn a token in the page's address into a cookie; None where there is none."""
        query_token = request.query_params.get("token", "")
        token = self.access.token
        if request.method != "GET" or request.url.path != "/":
            return None
        if token is None or not _same(query_token, token):
            return None
        left = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
        answer = RedirectResponse("." + (f"?{urlencode(left)}" if left else ""), 303)
        answer.set_cookie(
            self.access.cookie,
            self.access.cookie_value(),
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",  # (strict: a link from a mail would not get in at once)
            secure=request.headers.get("x-forwarded-proto") == "https",
        )
        return answer

    def _refused_post(self, request: Request) -> Response | None:
        if not self.access.own_post(request):
            return PlainTextResponse("only the page itself may ask for this", 403)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return PlainTextResponse("JSON was expected", 415)
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdecimal()):
            return PlainTextResponse("its length was expected", 411)
        if len(length) > 9 or int(length) > LONGEST_BODY:
            return PlainTextResponse("too long", 413, {"Connection": "close"})
        return None


def with_headers(send: Send) -> Send:
    """Give an answer the headers that each has."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent
