"""The page as an output: a server in a thread of its own, on a loopback address by default."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from threading import Thread

import uvicorn

from mpn.errors import DataError, MpnError
from mpn.live.outputs.board import Board
from mpn.live.outputs.guard import Access
from mpn.live.outputs.metrics import Metrics
from mpn.live.outputs.settings import PageConfig, check_token, is_loopback, secret_of
from mpn.live.outputs.web import Site, Teach
from mpn.live.status import Alarm, CameraStatus

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 200
IDLE_SECONDS = 10  # that a connection is kept between two requests


class Page:
    """Serves the page of a watcher.

    Args:
        config: where, and for whom.
        out: the folder of the journal and of the cameras' files.
        metrics: of /metrics; None for none.
        teach: what a click does; None: the page tells the commands.

    Attributes:
        url: of the page; with the token where that was made and not configured.
        port: that it listens on.

    Raises:
        DataError: the token's variable is not set, or holds none that is good.
        MpnError: the address cannot be used.
    """

    def __init__(
        self,
        config: PageConfig,
        out: Path,
        metrics: Metrics | None = None,
        teach: Teach | None = None,
    ) -> None:
        secret = secret_of(config.token, config.token_env, "page")
        if secret is not None:
            try:
                check_token(secret)
            except ValueError as error:
                raise DataError(f"page: {error}") from error
        made = None if secret or not config.needs_token else secrets.token_urlsafe(24)
        self.token = secret or made
        self.board = Board(out)
        self._socket = self._open(config)
        self.port = int(self._socket.getsockname()[1])
        hosts = config.hosts if is_loopback(config.host) else None
        access = Access(self.token, hosts, cookie=f"mpn_{self.port}")
        app = Site(self.board, access, metrics, teach).app()
        named = f"[{config.host}]" if ":" in config.host else config.host
        self.url = f"http://{named}:{self.port}/{f'?token={made}' if made else ''}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                lifespan="off",
                proxy_headers=False,
                ws="none",
                limit_concurrency=MAX_CONNECTIONS,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = Thread(target=self._run, name="mpn page", daemon=True)
        self._thread.start()

    @staticmethod
    def _open(config: PageConfig) -> socket.socket:
        """Open the port; where none was asked for, any free one if the usual one is taken."""
        try:
            return _listen(config.host, config.port)
        except MpnError:
            if "port" in config.model_fields_set:
                raise
            return _listen(config.host, 0)

    def alarm(self, alarm: Alarm) -> None:
        """Show an alarm."""
        self.board.add(alarm)

    def status(self, cameras: Mapping[str, CameraStatus]) -> None:
        """Show where the cameras stand."""
        self.board.tell(cameras)

    def close(self, seconds: float) -> None:
        """Let all pages go, and the port."""
        self.board.close()
        self._server.should_exit = True
        self._thread.join(seconds)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except Exception:
            log.exception("the page's server has ended")


def _listen(host: str, port: int) -> socket.socket:
    """Open the address; what is wrong with it is said before anything else begins."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(128)
        except OSError:
            opened.close()
            raise
    except OSError as error:
        raise MpnError(
            f"page: port {port} of {host} cannot be used ({error.strerror}); give another port, or "
            "0 for one that is free"
        ) from error
    return opened
