"""Every setting with its default and unit, and where its value comes from.

A flag wins over `LEDGERCTL_<SECTION>_<KEY>`, which wins over the profile's table, which wins over the rest of the file,
which wins over the default. One file is read: `--config`, else `./ledgerctl.toml`, else the user's, else the machine's.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from ledgerctl.errors import BadConfig, NotConfigured

FILE_NAME = "ledgerctl.toml"
PREFIX = "LEDGERCTL_"
EMBEDDED = "embedded:"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Database(_Section):
    url: str = ""
    """A PostgreSQL URL or conninfo, or `embedded:DIR`."""
    connect_timeout_s: int = Field(5, ge=1)
    lock_timeout_ms: int = Field(3000, ge=1)
    statement_timeout_ms: int = Field(10_000, ge=0)
    idle_timeout_ms: int = Field(10_000, ge=0)
    import_timeout_s: int = Field(3600, ge=0)
    retry_attempts: int = Field(5, ge=1)
    deadline_s: float = Field(30, gt=0)
    prepare: bool = True
    embedded_user: str = "ledgerctl"


class Ledger(_Section):
    name: str = "main"
    actor: str = ""


class Output(_Section):
    format: Literal["table", "json", "jsonl", "csv"] = "table"
    color: Literal["auto", "always", "never"] = "auto"


class Settings(_Section):
    database: Database = Database()
    ledger: Ledger = Ledger()
    output: Output = Output()
    protected: bool = False
    """A profile may be protected: dangerous commands then ask for its name."""


class _Environment(BaseSettings):
    """Only tells pydantic-settings which variables there are; `load` merges what it finds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="_", env_nested_max_split=1)

    database: Database = Database()
    ledger: Ledger = Ledger()
    output: Output = Output()


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force, the file they came from, and for each `section.key` where its value came from."""

    settings: Settings
    file: Path | None
    profile: str
    profiles: tuple[str, ...]
    origins: Mapping[str, str]

    def require_database(self) -> None:
        """NotConfigured when nothing says where the books are: a lost configuration must not open a fresh ledger."""
        if not self.settings.database.url:
            raise NotConfigured()

    @property
    def embedded_directory(self) -> Path | None:
        """The directory of `embedded:DIR`; a relative one is relative to the file that says it."""
        url = self.settings.database.url
        if not url.startswith(EMBEDDED):
            return None
        from_file = self.file is not None and self.origins.get("database.url") == str(self.file)
        start = self.file.parent if from_file and self.file is not None else Path.cwd()
        return (start / url.removeprefix(EMBEDDED)).resolve()


def load(
    file: Path | None = None, profile: str = "", flags: Mapping[str, Mapping[str, Any]] | None = None
) -> Configuration:
    """The file, the environment and the flags (`{section: {key: value}}`) in one; BadConfig when one is not right."""
    found = file or _find()
    tables = _read(found) if found is not None else {}
    profiles = tables.pop("profiles", {})
    profile = profile or os.environ.get(f"{PREFIX}PROFILE", "")
    if profile and profile not in profiles:
        raise BadConfig(detail=f"there is no profile '{profile}' in {found or 'any file'}")

    layers = [(str(found), tables)]
    if profile:
        layers.append((f"{found} [profiles.{profile}]", profiles[profile]))
    layers += [("environment", _environment()), ("flag", dict(flags or {}))]
    values, origins = _merge(layers)
    for key, origin in origins.items():
        if origin.startswith(f"{found} "):
            origins[key] = str(found)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise BadConfig(detail=_first_problem(error, origins)) from None
    return Configuration(settings, found, profile, tuple(profiles), origins)


def write(file: Path, url: str) -> None:
    """A new configuration file, readable by its owner only; FileExistsError when there is one already."""
    text = f'# ledgerctl.toml.example explains every setting.\n[database]\nurl = "{url}"\n'
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)


def _find() -> Path | None:
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [Path.cwd() / FILE_NAME, user / "ledgerctl" / "config.toml", Path("/etc/ledgerctl/config.toml")]
    return next((place for place in places if place.is_file()), None)


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(detail=f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(detail=f"{file}: {error}") from None


def _environment() -> dict[str, Any]:
    return EnvSettingsSource(_Environment)()


def _merge(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[dict[str, Any], dict[str, str]]:
    """Later layers win, key by key; the origin of `section.key` is the name of the layer that won."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for section, content in layer.items():
            if not isinstance(content, Mapping):
                values[section], origins[section] = content, origin
                continue
            merged = values.setdefault(section, {})
            for key, value in content.items():
                merged[key], origins[f"{section}.{key}"] = value, origin
    return values, origins


def _first_problem(error: ValidationError, origins: Mapping[str, str]) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place} ({origins.get(place, 'default')}): {problem['msg']}"
