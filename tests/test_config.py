"""Settings: the example explains all of them, layers win in their order, and what is wrong is named."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

from ledgerctl import config
from ledgerctl.errors import BadConfig, NotConfigured

EXAMPLE = Path(__file__).parent.parent / "ledgerctl.toml.example"
SECTIONS = {
    "database": config.Database,
    "ledger": config.Ledger,
    "output": config.Output,
    "log": config.Log,
    "state": config.State,
    "metrics": config.Metrics,
    "redis": config.Redis,
    "api": config.Api,
}


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file of whoever runs the tests is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def test_the_example_explains_every_setting_with_its_default(tmp_path: Path) -> None:
    uncommented = re.sub(r"(?m)^#(\[?[a-z])", r"\1", EXAMPLE.read_text(encoding="utf-8"))
    uncommented = re.sub(r"(?ms)^\[profiles.*", "", uncommented)
    file = tmp_path / "example.toml"
    file.write_text(uncommented, encoding="utf-8")

    loaded = config.load(file)

    named = {name for name in loaded.origins if name != "protected"}
    of_maps = {f"import.maps.bank.{one.name}" for one in fields(config.ImportMap)}
    of_maps |= {f"statement.maps.wallet.{one.name}" for one in fields(config.StatementMap)}
    assert named == of_maps | {f"{section}.{one.name}" for section, kind in SECTIONS.items() for one in fields(kind)}
    assert replace(loaded.maps["bank"], map={}, set={}) == config.ImportMap()
    assert replace(loaded.statement_maps["wallet"], map={}, set={}, only={}) == config.StatementMap()
    for section, kind in SECTIONS.items():
        for one in fields(kind):
            if (section, one.name) not in (("database", "url"), ("ledger", "actor")):
                assert getattr(getattr(loaded.settings, section), one.name) == one.default


def test_the_example_is_a_configuration_as_it_stands() -> None:
    config.load(EXAMPLE)


def test_a_flag_wins_over_the_environment_over_the_profile_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "books.toml"
    file.write_text(
        '[ledger]\nname = "file"\nactor = "file"\n[output]\ncolor = "never"\nformat = "csv"\n'
        '[profiles.prod]\nprotected = true\n[profiles.prod.ledger]\nname = "profile"\nactor = "profile"\n'
        '[profiles.prod.output]\nformat = "json"\n'
    )
    monkeypatch.setenv("LEDGERCTL_LEDGER_NAME", "environment")
    monkeypatch.setenv("LEDGERCTL_LEDGER_ACTOR", "environment")

    loaded = config.load(file, "prod", {"ledger": {"actor": "flag"}})

    settings = loaded.settings
    assert (settings.ledger.actor, settings.ledger.name) == ("flag", "environment")
    assert (settings.output.format, settings.output.color, settings.protected) == ("json", "never", True)
    assert loaded.origins["ledger.actor"] == "flag"
    assert loaded.origins["ledger.name"] == "environment"
    assert loaded.origins["output.format"] == f"{file} [profiles.prod]"
    assert loaded.origins["output.color"] == str(file)


def test_text_of_the_environment_is_read_in_the_type_of_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEDGERCTL_DATABASE_LOCK_TIMEOUT_MS", "55")
    monkeypatch.setenv("LEDGERCTL_DATABASE_PREPARE", "false")
    monkeypatch.setenv("LEDGERCTL_DATABASE_DEADLINE_S", "2")

    database = config.load().settings.database

    assert (database.lock_timeout_ms, database.prepare, database.deadline_s) == (55, False, 2.0)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[database]\nlock_timeout_ms = 0\n", "database.lock_timeout_ms"),
        ("[database]\nlock_timeout_ms = true\n", "database.lock_timeout_ms"),
        ("[database]\nlock_timeout_ms = 1.5\n", "database.lock_timeout_ms"),
        ('[database]\nprepare = "maybe"\n', "database.prepare"),
        ("[database]\nurl = 5\n", "database.url"),
        ('[output]\nformat = "xml"\n', "output.format"),
        ('[database]\nhost = "x"\n', "database.host"),
        ('[databse]\nurl = "x"\n', "databse"),
        ("protected = 1\n", "protected"),
        ("[import]\nfile = 1\n", "import holds nothing but tables"),
        ("[import.maps]\nbank = 1\n", "import holds nothing but tables"),
        ("[import.maps.bank]\nseparator = ';'\n", "import.maps.bank.separator"),
        ("[import.maps.bank]\nskip_lines = -1\n", "import.maps.bank.skip_lines"),
        ("[import.maps.bank]\ndecimal = ';'\n", "import.maps.bank.decimal"),
        ("[import.maps.bank]\nmap = 'from=x'\n", "import.maps.bank.map"),
        ("[import.maps.bank.set]\ncurrency = 1\n", "import.maps.bank.set"),
        ("[statement]\nfile = 1\n", "statement holds nothing but tables [statement.maps.NAME]"),
        ("[statement.maps.bank]\nseparator = ';'\n", "statement.maps.bank.separator"),
        (
            "[statement.maps.bank]\nfee_sign = 'minus'\n",
            "statement.maps.bank.fee_sign must be one of added, subtracted",
        ),
        ("[statement.maps.bank]\nmap = 'date'\n", "statement.maps.bank.map must be a table of texts by field"),
        ("[statement.maps.bank.only]\nstate = 'DONE'\n", "statement.maps.bank.only must be a table of lists of texts"),
        ("[statement.maps.bank.only]\nstate = [1]\n", "statement.maps.bank.only must be a table of lists of texts"),
        ("[database\n", "books.toml"),
    ],
)
def test_what_is_wrong_is_named_with_its_origin(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "books.toml"
    file.write_text(text)

    with pytest.raises(BadConfig) as raised:
        config.load(file)

    assert named in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_missing_file_and_an_unknown_profile_are_errors(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"nix\.toml"):
        config.load(tmp_path / "nix.toml")
    with pytest.raises(BadConfig, match="prod"):
        config.load(profile="prod")


def test_without_a_configuration_there_is_no_database() -> None:
    with pytest.raises(NotConfigured):
        config.load().require_database()


def test_a_relative_embedded_directory_is_beside_the_file_that_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    file = place / "ledgerctl.toml"
    config.write(file, "embedded:data")

    assert config.load(file).embedded_directory == place / "data"

    monkeypatch.setenv("LEDGERCTL_DATABASE_URL", "embedded:data")
    assert config.load(file).embedded_directory == tmp_path / "data"


def test_a_relative_textfile_is_beside_the_file_that_says_it_or_where_the_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    file = place / "ledgerctl.toml"
    file.write_text('[metrics]\ntextfile = "job.prom"\n')

    assert config.load(file).metrics_textfile == place / "job.prom"
    assert config.load().metrics_textfile is None

    monkeypatch.setenv("LEDGERCTL_METRICS_TEXTFILE", "job.prom")
    assert config.load(file).metrics_textfile == Path("job.prom")


def test_relative_files_of_the_api_are_beside_the_file_that_says_them_and_urls_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "elsewhere"
    place.mkdir()
    file = place / "ledgerctl.toml"
    file.write_text('[api]\njwks = "keys.json"\nsecret_file = "s"\ncertificate = "/tls/c.pem"\nprivate_key = "k.pem"\n')
    found, none = config.load(file), config.load()

    assert found.api_jwks == str(place / "keys.json")
    assert [found.api_secret_file, found.api_private_key] == [place / "s", place / "k.pem"]
    assert found.api_certificate == Path("/tls/c.pem")
    assert [none.api_jwks, none.api_secret_file, none.api_certificate, none.api_private_key] == ["", None, None, None]

    monkeypatch.setenv("LEDGERCTL_API_JWKS", "https://issuer.example/keys.json")
    monkeypatch.setenv("LEDGERCTL_API_SECRET_FILE", "s")
    assert config.load(file).api_jwks == "https://issuer.example/keys.json"
    assert config.load(file).api_secret_file == Path("s")


def test_a_configuration_that_is_wrong_leaves_what_the_environment_says_of_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGERCTL_METRICS_PUSHGATEWAY", "http://127.0.0.1:9091")
    monkeypatch.setenv("LEDGERCTL_LEDGER_NAME", "shop")
    monkeypatch.setenv("LEDGERCTL_DATABASE_LOCK_TIMEOUT_MS", "soon")
    with pytest.raises(BadConfig):
        config.load()

    settings = config.of_environment().settings

    assert (settings.metrics.pushgateway, settings.ledger.name) == ("http://127.0.0.1:9091", "shop")


def test_a_new_file_is_its_owners_alone_and_never_replaces_one(tmp_path: Path) -> None:
    file = tmp_path / "ledgerctl.toml"
    config.write(file, 'host="a b" \\ x')

    assert file.stat().st_mode & 0o777 == 0o600
    assert config.load(file).settings.database.url == 'host="a b" \\ x'
    with pytest.raises(FileExistsError):
        config.write(file, "embedded:other")


def test_a_profile_may_have_maps_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "books.toml"
    file.write_text(
        "[import.maps.a]\ndelimiter = ';'\n[import.maps.b]\ndate = '%Y'\n"
        "[profiles.p.import.maps.a]\ndelimiter = '|'\n[profiles.p.import.maps.a.map]\nfrom = 'payer'\n"
    )

    assert config.load(file).maps["a"] == config.ImportMap(";")
    assert config.load(file, "p").maps == {
        "a": config.ImportMap("|", map={"from": "payer"}),
        "b": config.ImportMap(date="%Y"),
    }


def test_a_statement_map_is_read_whole_and_a_profile_may_have_its_own(tmp_path: Path) -> None:
    file = tmp_path / "books.toml"
    file.write_text(
        "[statement.maps.a]\nfee_sign = 'subtracted'\n[statement.maps.a.map]\ndate = 'Day'\n"
        "[statement.maps.a.only]\nState = ['DONE', 'BACK']\n[profiles.p.statement.maps.a]\nskip_lines = 2\n"
    )

    assert config.load(file).statement_maps == {
        "a": config.StatementMap(fee_sign="subtracted", map={"date": "Day"}, only={"State": ["DONE", "BACK"]})
    }
    assert config.load(file, "p").statement_maps == {"a": config.StatementMap(skip_lines=2)}
    assert config.load(file).maps == {}
