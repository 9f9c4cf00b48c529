"""Every setting with its default and unit, and where its value comes from.

A flag wins over `LEDGERCTL_<SECTION>_<KEY>`, which wins over the profile's table, which wins over the rest of the file,
which wins over the default. One file is read: `--config`, else `./ledgerctl.toml`, else the user's, else the machine's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ledgerctl.errors import BadConfig, NotConfigured

FILE_NAME = "ledgerctl.toml"
PREFIX = "LEDGERCTL_"
EMBEDDED = "embedded:"


def _number(default: Any, least: float) -> Any:
    return field(default=default, metadata={"least": least})


def _choice(default: str, *others: str) -> Any:
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass(frozen=True, slots=True)
class Database:
    url: str = ""
    """A PostgreSQL URL or conninfo, or `embedded:DIR`."""
    connect_timeout_s: int = _number(5, least=1)
    lock_timeout_ms: int = _number(3000, least=1)
    statement_timeout_ms: int = _number(10_000, least=0)
    idle_timeout_ms: int = _number(10_000, least=0)
    import_timeout_s: int = _number(3600, least=0)
    retry_attempts: int = _number(5, least=1)
    deadline_s: float = _number(30.0, least=0.001)
    prepare: bool = True
    embedded_user: str = "ledgerctl"


@dataclass(frozen=True, slots=True)
class Ledger:
    name: str = "main"
    actor: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    format: str = _choice("table", "json", "jsonl", "csv")
    color: str = _choice("auto", "always", "never")


@dataclass(frozen=True, slots=True)
class Log:
    format: str = _choice("", "text", "json")
    """How lines for those who look on are written; empty: none are, unless --verbose asks."""


@dataclass(frozen=True, slots=True)
class State:
    directory: str = ""
    """Where requests are kept whose outcome is not known; by default $XDG_STATE_HOME/ledgerctl."""


@dataclass(frozen=True, slots=True)
class Metrics:
    pushgateway: str = ""
    """An http or https URL; a user and a password in it are sent as such. Empty: nothing is pushed."""
    textfile: str = ""
    """A file for node_exporter's textfile collector. Empty: none is written."""
    commands: str = _choice("jobs", "changes", "all")
    """Whose runs are told of: jobs', those of commands that change the books too, or of all that open them."""


@dataclass(frozen=True, slots=True)
class Redis:
    url: str = ""
    """redis://, rediss:// or unix://; empty: none is used. Nothing is right because of it, some things are faster."""
    timeout_ms: int = _number(100, least=1)
    balances: bool = False
    """Whether balances are read from it. Who posts keeps it up to date either way, once somebody reads from it."""


@dataclass(frozen=True, slots=True)
class Api:
    listen: str = "127.0.0.1:8080"
    issuer: str = ""
    """`iss` of the tokens that are good."""
    audience: str = "ledgerctl"
    """`aud` of the tokens that are good."""
    jwks: str = ""
    """The public keys of who issues tokens: a file or an https URL."""
    secret_file: str = ""
    """Or a file with a secret of 32 bytes or more (HS256), readable by nobody else."""
    certificate: str = ""
    """With `private_key`, files in PEM: then it is https that is served."""
    private_key: str = ""
    cors: str = ""
    """Origins of web pages that may ask, separated by commas; empty: none."""
    requests: int = _number(6000, least=1)
    window_s: int = _number(60, least=1)
    """So many requests of one subject in so many seconds."""
    body_max_bytes: int = _number(1_048_576, least=1024)
    list_max: int = _number(1000, least=1)
    page_max: int = _number(500, least=1)


@dataclass(frozen=True, slots=True)
class ImportMap:
    """How the files of one sender are read; `map` and `set` are fields by name, as --map and --set take them."""

    delimiter: str = ","
    decimal: str = _choice(".", ",")
    encoding: str = "utf-8"
    date: str = ""
    skip_lines: int = _number(0, least=0)
    map: Mapping[str, str] = field(default_factory=dict)
    set: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatementMap:
    """How statements in CSV of one bank or provider are read; `formats/bank/csv_rows.py` has the fields of `map`."""

    delimiter: str = ","
    decimal: str = _choice(".", ",")
    encoding: str = "utf-8"
    date: str = ""
    skip_lines: int = _number(0, least=0)
    fee_sign: str = _choice("added", "subtracted")
    """Whether gross plus fee is what is left (fees are negative numbers), or gross less fee."""
    map: Mapping[str, str] = field(default_factory=dict)
    set: Mapping[str, str] = field(default_factory=dict)
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column, the values of the rows that are read; the others are left out."""


@dataclass(frozen=True, slots=True)
class Settings:
    database: Database = Database()
    ledger: Ledger = Ledger()
    output: Output = Output()
    log: Log = Log()
    state: State = State()
    metrics: Metrics = Metrics()
    redis: Redis = Redis()
    api: Api = Api()
    protected: bool = False
    """Of a profile: dangerous commands then ask for its name."""


OneMap = TypeVar("OneMap", ImportMap, StatementMap)

_Section = Database | Ledger | Output | Log | State | Metrics | Redis | Api
_SECTIONS: Mapping[str, type[_Section]] = {
    "database": Database,
    "ledger": Ledger,
    "output": Output,
    "log": Log,
    "state": State,
    "metrics": Metrics,
    "redis": Redis,
    "api": Api,
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force, the file they came from, and for each `section.key` where its value came from."""

    settings: Settings
    file: Path | None
    profile: str
    profiles: tuple[str, ...]
    origins: Mapping[str, str]
    maps: Mapping[str, ImportMap] = field(default_factory=dict)
    """`[import.maps.NAME]` by name."""
    statement_maps: Mapping[str, StatementMap] = field(default_factory=dict)
    """`[statement.maps.NAME]` by name."""

    def require_database(self) -> None:
        """NotConfigured when nothing says where the books are: a lost configuration must not open a fresh ledger."""
        if not self.settings.database.url:
            raise NotConfigured()

    @property
    def embedded_directory(self) -> Path | None:
        """The directory of `embedded:DIR`; a relative one is relative to the file that says it."""
        url = self.settings.database.url
        return self._resolved("database.url", url.removeprefix(EMBEDDED)) if url.startswith(EMBEDDED) else None

    @property
    def state_directory(self) -> Path:
        """Where requests are kept whose outcome is not known. BadConfig where there is no home to keep them in."""
        named = self.settings.state.directory or os.environ.get("XDG_STATE_HOME", "")
        if self.settings.state.directory:
            return self._resolved("state.directory", named)
        home = os.path.expanduser("~")  # noqa: PTH111 - Path raises without a home
        if not named and not os.path.isabs(home):  # noqa: PTH117 - a text
            raise BadConfig(detail="there is no home directory to keep requests in", hint="set [state] directory")
        return Path(named or f"{home}/.local/state") / "ledgerctl"

    @property
    def metrics_textfile(self) -> Path | None:
        """The file of `metrics.textfile`; a relative one is relative to the file that says it."""
        return self._file("metrics.textfile", self.settings.metrics.textfile)

    @property
    def api_jwks(self) -> str:
        """`api.jwks`, as the next ones: a relative file is relative to the file that says it. A URL is itself."""
        named = self.settings.api.jwks
        return named if "://" in named else str(self._file("api.jwks", named) or "")

    @property
    def api_secret_file(self) -> Path | None:
        return self._file("api.secret_file", self.settings.api.secret_file)

    @property
    def api_certificate(self) -> Path | None:
        return self._file("api.certificate", self.settings.api.certificate)

    @property
    def api_private_key(self) -> Path | None:
        return self._file("api.private_key", self.settings.api.private_key)

    def _file(self, name: str, named: str) -> Path | None:
        return self._start(name) / named if named else None

    def _resolved(self, name: str, directory: str) -> Path:
        return (self._start(name) / directory).resolve()

    def _start(self, name: str) -> Path:
        """What a relative path is relative to: the directory of the file that says it, else the working directory."""
        from_file = self.file is not None and self.origins.get(name, "").startswith(str(self.file))
        return self.file.parent if from_file and self.file is not None else Path()


def load(
    file: Path | None = None, profile: str = "", flags: Mapping[str, Mapping[str, Any]] | None = None
) -> Configuration:
    """The file, the environment and the flags (`{section: {key: value}}`) in one; BadConfig when one is not right."""
    try:
        found = file or _find()
    except FileNotFoundError:
        raise BadConfig(detail="the working directory is no longer there") from None
    tables = _read(found) if found is not None else {}
    profiles = tables.pop("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(table, dict) for table in profiles.values()):
        raise BadConfig(detail=f"profiles must be tables: [profiles.NAME] ({found})")
    profile = profile or os.environ.get(f"{PREFIX}PROFILE", "")
    if profile and profile not in profiles:
        raise BadConfig(detail=f"there is no profile '{profile}' in {found or 'any file'}")

    layers: list[tuple[str, Mapping[str, Any]]] = [(str(found), tables)]
    if profile:
        layers.append((f"{found} [profiles.{profile}]", profiles[profile]))
    layers += [("environment", _environment()), ("flag", flags or {})]
    maps, origins_of_maps = _maps("import", ImportMap, layers)
    statement_maps, origins_of_statement_maps = _maps("statement", StatementMap, layers)
    settings, origins = _merge(layers)
    origins |= origins_of_maps | origins_of_statement_maps
    return Configuration(settings, found, profile, tuple(profiles), origins, maps, statement_maps)


def of_environment() -> Configuration:
    """What the environment says of the ledger and of metrics, so that a configuration that is wrong is told of."""
    texts = {section: keys for section, keys in _environment().items() if section in ("ledger", "metrics")}
    settings, origins = _merge([("environment", texts)])
    return Configuration(settings, None, "", (), origins)


def without_login(url: str) -> str:
    """A web address as it may be shown: nothing is left of a user and a password in it, nor of a query."""
    hidden = re.sub(r"^(\w+://)?.*@", r"\1***@", url, flags=re.DOTALL)
    return re.sub(r"[?#].*", "?***", hidden, flags=re.DOTALL)


def write(file: Path, url: str) -> None:
    """A new configuration file, readable by its owner only; FileExistsError when there is one already."""
    escaped = url.replace("\\", "\\\\").replace('"', '\\"')
    text = f'# ledgerctl.toml.example explains every setting.\n[database]\nurl = "{escaped}"\n'
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)


def _find() -> Path | None:
    user = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - Path raises without a home
    places = [Path.cwd() / FILE_NAME, Path(user) / "ledgerctl" / "config.toml", Path("/etc/ledgerctl/config.toml")]
    # isfile, not Path.is_file: a place that may not be looked into holds no configuration for us.
    return next((place for place in places if os.path.isfile(place)), None)  # noqa: PTH113 - see above


def _read(file: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(detail=f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(detail=f"{file}: {error}") from None


def _environment() -> dict[str, dict[str, str]]:
    """The LEDGERCTL_<SECTION>_<KEY> variables that name a setting; others are somebody else's."""
    found: dict[str, dict[str, str]] = {}
    for section, kind in _SECTIONS.items():
        for known in fields(kind):
            text = os.environ.get(f"{PREFIX}{section}_{known.name}".upper())
            if text is not None:
                found.setdefault(section, {})[known.name] = text
    return found


def _merge(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Settings, dict[str, str]]:
    """Later layers win, key by key; the origin of `section.key` is the name of the layer that won."""
    values: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    protected = False
    origins: dict[str, str] = {}
    for origin, layer in layers:
        for section, content in layer.items():
            if section in ("import", "statement"):
                continue  # see _maps
            if section == "protected" and isinstance(content, bool):
                protected, origins[section] = content, origin
                continue
            if section not in _SECTIONS or not isinstance(content, Mapping):
                raise BadConfig(detail=f"there is no section '{section}' ({origin})")
            known = {one.name: one for one in fields(_SECTIONS[section])}
            for key, value in content.items():
                if key not in known:
                    raise BadConfig(detail=f"there is no setting '{section}.{key}' ({origin})")
                values[section][key] = _checked(f"{section}.{key}", known[key], value, origin)
                origins[f"{section}.{key}"] = origin
    settings = Settings(
        Database(**values["database"]),
        Ledger(**values["ledger"]),
        Output(**values["output"]),
        Log(**values["log"]),
        State(**values["state"]),
        Metrics(**values["metrics"]),
        Redis(**values["redis"]),
        Api(**values["api"]),
        protected,
    )
    return settings, origins


def _maps(
    section: str, kind: type[OneMap], layers: Sequence[tuple[str, Mapping[str, Any]]]
) -> tuple[dict[str, OneMap], dict[str, str]]:
    """The maps of all layers by name; one of a later layer takes the place of an earlier one's."""
    maps: dict[str, OneMap] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        content = layer.get(section, {})
        tables = content.get("maps", {}) if isinstance(content, Mapping) and not content.keys() - {"maps"} else None
        if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
            raise BadConfig(detail=f"{section} holds nothing but tables [{section}.maps.NAME] ({origin})")
        for name, table in tables.items():
            maps[name] = _map(f"{section}.maps.{name}", kind, table, origin)
            origins |= {f"{section}.maps.{name}.{key}": origin for key in table}
    return maps, origins


def _map(name: str, kind: type[OneMap], table: Mapping[str, Any], origin: str) -> OneMap:
    known = {one.name: one for one in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            raise BadConfig(detail=f"there is no setting '{name}.{key}' ({origin})")
        if key not in _TABLES:
            values[key] = _checked(f"{name}.{key}", known[key], value, origin)
        elif isinstance(value, Mapping) and all(map(_TABLES[key].holds, value.values())):
            values[key] = dict(value)
        else:
            raise BadConfig(detail=f"{name}.{key} must be a table of {_TABLES[key].words} ({origin})")
    return kind(**values)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


class _Table(NamedTuple):
    """What a table of a map may hold by its keys, and how that is said."""

    holds: Callable[[Any], bool]
    words: str


_TEXTS_BY_FIELD = _Table(lambda value: isinstance(value, str), "texts by field")
_TABLES = {"map": _TEXTS_BY_FIELD, "set": _TEXTS_BY_FIELD, "only": _Table(_is_texts, "lists of texts by column")}


def _checked(name: str, known: Field[Any], value: Any, origin: str) -> Any:
    """The value in the setting's type, which is that of its default; text from the environment is read."""
    kind = type(known.default)
    if isinstance(value, str) and kind is not str:
        value = _from_text(value, kind)
    if kind is float and type(value) is int:
        value = float(value)
    choices = known.metadata.get("choices", (value,))
    if type(value) is not kind or value not in choices or (kind in (int, float) and value < known.metadata["least"]):
        wanted = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}[kind]
        wanted = f"one of {', '.join(filter(None, choices))}" if "choices" in known.metadata else wanted
        wanted += f", at least {known.metadata['least']}" if "least" in known.metadata else ""
        raise BadConfig(detail=f"{name} must be {wanted} ({origin})")
    return value


def _from_text(text: str, kind: type) -> Any:
    if kind is bool:
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    try:
        return kind(text)
    except ValueError:
        return None
