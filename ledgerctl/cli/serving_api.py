"""ledgerctl serve, token issue: the REST API, and tokens for those who ask it."""

from __future__ import annotations

import gc
import math
import signal
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_NODELAY, create_server, socket
from typing import Annotated

import typer

from ledgerctl import logs
from ledgerctl.cli import output
from ledgerctl.cli.invocation import Context, Group
from ledgerctl.cli.serving import address
from ledgerctl.errors import BadConfig, CannotListen, Exit

token = typer.Typer(cls=Group, help="Tokens for the REST API.")
MINUTES_MAX = 15
LONGER_S = 5
"""What was taken may last as long as a change may, and is waited for so much longer."""
BACKLOG = 2048
CONNECTIONS_MAX = 1000
"""Beyond them, a request is answered 503 at once."""


def register(root: typer.Typer) -> None:
    root.command(epilog=output.exits(Exit.UNAVAILABLE, Exit.BAD_CONFIG))(serve)
    root.add_typer(token, name="token")


def serve(
    context: Context,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "",
) -> None:
    """Serve the REST API until SIGTERM or Ctrl-C; what was taken is finished first.

    Needs the extra `api`, and [api] in the configuration: whose tokens are good.
    """
    from ledgerctl.services.books import require_schema

    try:
        import uvicorn

        from ledgerctl.api.app import create
        from ledgerctl.api.protocol import Protocol
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    invocation = context.obj
    api = invocation.configuration.settings.api
    host, port = address(listen or api.listen)
    certificate, private_key = invocation.configuration.api_certificate, invocation.configuration.api_private_key
    _require_pair(certificate, private_key)
    require_schema(invocation.database)
    app = create(invocation.configuration, invocation.database.application)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
        timeout_graceful_shutdown=math.ceil(invocation.configuration.settings.database.deadline_s) + LONGER_S,
        http=Protocol,
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
    )
    config.load()
    logs.adopt("uvicorn")
    gc.freeze()  # what is there now stays: the collector would look at all of it again and again
    with _listening(host, port) as listening:
        server = uvicorn.Server(config)
        for one in (signal.SIGTERM, signal.SIGINT):
            # Until the server hears them itself; it lets us hear them again when it has ended.
            signal.signal(one, lambda *_: setattr(server, "should_exit", True))
        invocation.note(
            f"serving {'https' if config.is_ssl else 'http'}://{_shown(*listening.getsockname()[:2])}/api/v1"
        )
        server.run([listening])
    invocation.note("stopped")


def _listening(host: str, port: int) -> socket:
    """CannotListen: the server itself would only end."""
    try:
        listening = create_server((host, port), family=AF_INET6 if ":" in host else AF_INET, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(host=host, port=port, reason=error.strerror) from None
    listening.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # else a body may wait 40 ms for the caller to confirm its head
    return listening


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@token.command(epilog=output.exits(Exit.USAGE, Exit.BAD_CONFIG))
def issue(
    context: Context,
    subject: Annotated[str, typer.Argument(help="Who will ask: the audit log names it.")],
    scopes: Annotated[list[str], typer.Option("--scope", help="What it may do; may be repeated.")],
    minutes: Annotated[int, typer.Option(min=1, max=MINUTES_MAX, help="For how long.")] = MINUTES_MAX,
    key: Annotated[str, typer.Option(metavar="FILE", help="A private key as JWK; by default [api] secret_file.")] = "",
) -> None:
    """Print a token for the ledger, signed with [api] secret_file or a private key of your own."""
    try:
        from ledgerctl.api import issuing
    except ModuleNotFoundError as error:
        raise _not_installed(error) from None
    made = issuing.issue(context.obj.configuration, Path(key) if key else None, subject, scopes, 60 * minutes)
    context.obj.show({"token": made}, ("token",), head=made, rows=[])


def _require_pair(certificate: Path | None, private_key: Path | None) -> None:
    """BadConfig unless https can be served with them, or neither is there: never http where https was meant."""
    import ssl

    if certificate is None and private_key is None:
        return
    if certificate is None or private_key is None:
        raise BadConfig(detail="[api] certificate and private_key go together")
    try:
        # No password: a server has nobody to ask for one.
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, private_key, lambda: "")
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise BadConfig(detail=f"[api] certificate and private_key ({certificate}, {private_key}): {why}") from None


def _not_installed(error: ModuleNotFoundError) -> BadConfig:
    return BadConfig(detail=f"{error.name} is not installed", hint="pip install 'ledgerctl[api]'")
