"""What a run is made of, as everybody in it has to know it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledgerctl.config import Database as Settings
from ledgerctl.db.connection import Database

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Run:
    """What a run is made of. `ahead` is how many steps a client may be ahead of the slowest."""

    seed: int
    mix: str
    clients: int
    steps: int
    directory: Path
    url: str
    settings: dict[str, Any] = field(default_factory=dict)
    ahead: int = 40
    by_command_line: int = 0
    """So many of the clients are processes of the command line, one for each request."""
    command_share: float = 1.0
    """Such a client sends so much of what could be a command by one, and the rest as the others do."""
    by_http: int = 0
    """So many of the clients after them ask the REST API."""
    ports: tuple[int, ...] = ()
    """Where its processes listen."""

    @property
    def histories(self) -> Path:
        return self.directory / "histories"

    @property
    def secret(self) -> Path:
        """The file with what tokens are signed with."""
        return self.directory / "api-secret"

    def database(self, application: str) -> Database:
        settings = Settings(url=self.url, **{"deadline_s": 20.0, **self.settings})
        return Database(settings, None, f"ledgerctl {application}")
