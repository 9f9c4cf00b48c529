"""docker-compose.yml opens nothing to the network and carries no secret."""

from __future__ import annotations

import re
from pathlib import Path

COMPOSE = (Path(__file__).parents[1] / "docker-compose.yml").read_text(encoding="utf-8")
LINES = [line for line in COMPOSE.splitlines() if line.strip() and not line.lstrip().startswith("#")]

LOOPBACK = re.compile(r'- "127\.0\.0\.1:\d+:\d+"')
SECRET = re.compile(r"\s*-?\s*\w*(?:PASSWORD|SECRET|TOKEN)\w*\s*[:=]\s*(?P<value>.*)", re.IGNORECASE)
REQUIRED = re.compile(r"\$\{\w+:\?[^}]+\}")


def _ports() -> list[str]:
    found, inside = [], False
    for line in LINES:
        inside = line.strip().startswith("ports:") or (inside and line.strip().startswith("- "))
        if inside:
            found.append(line.strip())
    return found


def test_every_port_is_bound_to_the_loopback_interface() -> None:
    mappings = [line for line in _ports() if line != "ports:"]

    assert len(mappings) >= COMPOSE.count("    ports:") > 0
    assert [line for line in mappings if not LOOPBACK.fullmatch(line)] == []
    assert "network_mode" not in COMPOSE


def test_every_password_comes_from_the_environment_and_has_no_default() -> None:
    values = [match["value"] for line in LINES if (match := SECRET.fullmatch(line))]

    assert values
    assert [value for value in values if not REQUIRED.fullmatch(value)] == []
