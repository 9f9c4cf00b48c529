"""What deploy/ offers is good as it stands: units, crontab, image, alerts and dashboard, which know every metric."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from ledgerctl import config, metrics
from ledgerctl.core.model import Kind, Status
from ledgerctl.db import epochs
from ledgerctl.errors import Exit
from tests.test_docs import COMMANDS, parse

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
CRONTAB = (DEPLOY / "cron" / "ledgerctl.crontab").read_text(encoding="utf-8")
RULES = DEPLOY / "prometheus" / "ledgerctl.rules.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

SETTINGS = {
    f"LEDGERCTL_{section.name}_{one.name}".upper()
    for section in fields(config.Settings)
    if section.name != "protected"
    for one in fields(section.default)  # type: ignore[arg-type]  # each is a section
}
"""As the environment names them."""

INSTALLED = "/opt/ledgerctl/bin/ledgerctl"
"""Where deploy/ takes the program to be."""

EXPOSURE_MAX = 20
"""Of `systemd-analyze security`, in tenths."""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


def misunderstood(text: str) -> list[str]:
    """The commands in backticks that are neither ours, as they stand, nor of those that an operator has anyway."""
    found = re.findall(r"`([^`]+)`", " ".join(re.sub(r"\{\{.*?\}\}", "main", text).split()))
    assert found, text
    ours = [one for one in found if one.startswith("ledgerctl ")]
    others = [one for one in found if one not in ours and not one.startswith(("curl ", "systemctl "))]
    return others + [one for one in ours if tuple(one.split()[1:]) not in COMMANDS and parse(shlex.split(one)[1:])]


def output_of(*command: str, cwd: Path | None = None) -> str:
    """What a command that must succeed prints on both streams."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# -- systemd ---------------------------------------------------------------------------------------------------------

KEYS = {
    "Unit": {"Description", "Wants", "After", "OnFailure"},
    "Timer": {"OnCalendar", "RandomizedDelaySec", "Persistent"},
    "Install": {"WantedBy"},
    "Service": {
        *(
            "Type",
            "ExecStart",
            "ExecStartPre",
            "SuccessExitStatus",
            "TimeoutStartSec",
            "TimeoutStopSec",
            "LimitNOFILE",
            "Restart",
            "RestartSec",
        ),
        *("Environment", "LoadCredential", "DynamicUser", "UMask"),
        *("RuntimeDirectory", "RuntimeDirectoryMode", "StateDirectory", "StateDirectoryMode"),
        *("AmbientCapabilities", "CapabilityBoundingSet", "DeviceAllow", "DevicePolicy", "KeyringMode"),
        *("LockPersonality", "MemoryDenyWriteExecute", "NoNewPrivileges", "PrivateDevices", "PrivateTmp"),
        *("PrivateUsers", "ProcSubset", "ProtectClock", "ProtectControlGroups", "ProtectHome", "ProtectHostname"),
        *("ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "ProtectProc", "ProtectSystem"),
        *("RemoveIPC", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID"),
        *("SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber"),
    },
}
REPEATED = {"Environment", "SystemCallFilter"}


def settings(unit: Path) -> list[tuple[str, str, str]]:
    """Section, key and value of each line."""
    found, section = [], ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, line
            found.append((section, key, value))
    return found


def value(unit: Path, key: str) -> str:
    [found] = [given for _, name, given in settings(unit) if name == key]
    return found


RECONCILE = DEPLOY / "systemd" / "ledgerctl-reconcile.service"
METRICS = DEPLOY / "systemd" / "ledgerctl-metrics.service"
API = DEPLOY / "systemd" / "ledgerctl-api.service"
TIMER = DEPLOY / "systemd" / "ledgerctl-reconcile.timer"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_only_settings_that_systemd_knows_each_once(unit: Path) -> None:
    """systemd warns of a setting that it does not know, and runs the unit without it."""
    found = settings(unit)
    once = [(section, key) for section, key, _ in found if key not in REPEATED]

    assert found
    assert [(section, key) for section, key, _ in found if key not in KEYS[section]] == []
    assert len(set(once)) == len(once)


@pytest.mark.parametrize("unit", [RECONCILE, METRICS, API], ids=lambda unit: unit.name)
def test_the_unit_runs_a_command_that_there_is_with_settings_that_there_are(unit: Path) -> None:
    program, *words = shlex.split(value(unit, "ExecStart"))
    environment = dict(given.split("=", 1) for _, key, given in settings(unit) if key == "Environment")

    assert program == INSTALLED
    assert not parse(words)
    assert environment.keys() - {"PGPASSFILE"} <= SETTINGS


def test_only_a_run_beside_another_is_no_failure_of_the_unit() -> None:
    assert value(RECONCILE, "SuccessExitStatus") == str(int(Exit.TRY_AGAIN))
    assert value(RECONCILE, "Type") == "oneshot"


def test_the_timer_starts_the_unit_and_a_failure_the_one_that_tells() -> None:
    told = value(RECONCILE, "OnFailure").replace("%n", "")

    assert TIMER.with_suffix(".service") == RECONCILE
    assert (DEPLOY / "systemd" / told).is_file()
    assert re.fullmatch(r"\*-\*-\* \d\d:\d\d:00 UTC", value(TIMER, "OnCalendar"))


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    here = str(Path(sysconfig.get_path("scripts")) / "ledgerctl")
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace(INSTALLED, here)
        (tmp_path / unit.name.replace("@", "@example")).write_text(text, encoding="utf-8")

    names = [str(path) for path in sorted(tmp_path.iterdir())]
    found = output_of(analyze, "verify", "--man=no", "--recursive-errors=no", *names)

    assert [line for line in found.splitlines() if "ledgerctl" in line] == []


@pytest.mark.parametrize("unit", [RECONCILE, METRICS, API], ids=lambda unit: unit.name)
def test_the_unit_leaves_little_open(unit: Path) -> None:
    analyze = tool("systemd-analyze")

    found = output_of(analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(unit))

    assert "Overall exposure level" in found


CONFINED = """
import ctypes, os, sys
PR_SET_MDWE, REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(125)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""What MemoryDenyWriteExecute= does, without systemd: the kernel has had a switch of its own for it since 6.3."""


def test_the_program_needs_no_memory_that_is_written_and_executed(conninfo: str, directory: Path) -> None:
    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", CONFINED, *args],
            env={"LEDGERCTL_DATABASE_URL": conninfo, "HOME": str(directory), "PYTHONPATH": str(ROOT)},
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    refused = run("-c", "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)")
    if refused.returncode == 125:
        pytest.skip("this kernel cannot refuse it (Linux 6.3 can)")
    assert "PermissionError" in refused.stderr

    done = run("-m", "ledgerctl", "-o", "json", "reconcile", "--metrics-textfile", "job.prom")

    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / "job.prom").is_file()


# -- cron ------------------------------------------------------------------------------------------------------------

CRON_LINES = [line for line in CRONTAB.splitlines() if line and not line.startswith("#")]
CRON_VARIABLES = dict(re.findall(r"(?m)^(\w+)=(.*)$", CRONTAB))
CRON_JOBS = [line for line in CRON_LINES if not re.match(r"\w+=", line)]


@pytest.mark.parametrize("line", CRON_JOBS)
def test_a_line_of_the_crontab_runs_a_command_that_there_is_in_silence_and_not_for_ever(line: str) -> None:
    schedule = re.match(r"[0-5]?\d ([01]?\d|2[0-3]) \* \* (\*|[0-7](?:-[0-7])?) ledgerctl (.*)", line)
    assert schedule
    words = shlex.split(schedule[3])
    place = words.index("ledgerctl")

    assert words[0] == "timeout"
    assert re.fullmatch(r"\d+[mh]", words[place - 1])
    assert "-q" in words
    assert "reconcile" in words
    assert not parse(words[place + 1 :])


def test_the_crontab_says_where_the_program_is_and_who_is_told_and_has_no_percent_sign() -> None:
    assert CRON_VARIABLES["PATH"].split(":")[0] == str(Path(INSTALLED).parent)
    assert "@" in CRON_VARIABLES["MAILTO"]
    assert [line for line in CRON_LINES if "%" in line] == []
    assert CRONTAB.endswith("\n")  # cron leaves out a last line without an end


def test_every_night_of_the_week_has_one_line_of_the_crontab() -> None:
    nights: list[int] = []
    for line in [job for job in CRON_JOBS if "--account" not in job]:
        first, _, last = line.split()[4].partition("-")
        nights += range(int(first), int(last or first) + 1)

    assert sorted(nights) == list(range(7))


# -- Prometheus ------------------------------------------------------------------------------------------------------

ALERTS = re.findall(r"(?m)^ +- alert: (\w+)$", RULES.read_text(encoding="utf-8"))
SCRAPED = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")


def test_the_alerts_name_only_metrics_that_there_are() -> None:
    text = re.sub(r"(?m)#.*$", "", RULES.read_text(encoding="utf-8"))
    jobs = set(re.findall(r'job="(\w+)"', text))
    named = set(re.findall(r"ledgerctl_\w+", text)) - jobs

    assert jobs == {"ledgerctl_reconcile", "ledgerctl_reconcile_statement", "ledgerctl"}
    assert "- job_name: ledgerctl\n" in SCRAPED
    assert len(named) >= 12
    assert named <= {one.name for one in metrics.DECLARED}


def test_every_alert_says_what_is_the_matter_and_names_a_command_that_there_is() -> None:
    blocks = re.split(r"(?m)^ +- alert: ", RULES.read_text(encoding="utf-8"))[1:]
    assert len(blocks) == len(ALERTS)
    for block in blocks:
        texts = dict(re.findall(r'(?m)^ {10}(summary|description): (?:>-\n)?((?:"| {12}).*\n(?: {12}.*\n)*)', block))
        assert texts.keys() == {"summary", "description"}, block
        assert misunderstood(texts["description"]) == []


def test_every_alert_and_every_metric_is_explained() -> None:
    assert [name for name in ALERTS if f"`{name}`" not in OPERATIONS] == []
    assert [one.name for one in metrics.DECLARED if f"`{one.name}`" not in OPERATIONS] == []


def test_prometheus_reads_the_alerts_and_the_container_sees_them() -> None:
    assert re.search(rf"(?m)^rule_files:\n  - {re.escape(RULES.name)}$", SCRAPED)
    assert "- ./deploy/prometheus:/etc/prometheus:ro" in COMPOSE


def test_prometheus_reads_the_metrics_server_and_leaves_the_labels_of_jobs_alone() -> None:
    books, jobs = re.split(r"(?m)^  - job_name: ", SCRAPED)[1:]

    assert books.startswith("ledgerctl\n")
    assert ':9464"]' in books
    assert "honor_labels" not in books
    assert jobs.startswith("pushgateway\n")
    assert ':9091"]' in jobs
    assert "    honor_labels: true " in jobs


def test_promtool_finds_nothing_wrong() -> None:
    promtool = tool("promtool")

    assert "1 rule files found" in output_of(promtool, "check", "config", str(DEPLOY / "prometheus/prometheus.yml"))
    assert f"{len(ALERTS)} rules found" in output_of(promtool, "check", "rules", "--lint=all", str(RULES))


def test_the_alerts_fire_when_they_should_and_are_silent_otherwise() -> None:
    tests = DEPLOY / "prometheus" / "tests"

    found = output_of(tool("promtool"), "test", "rules", "ledgerctl.rules.test.yml", cwd=tests)

    assert "SUCCESS" in found
    text = (tests / "ledgerctl.rules.test.yml").read_text(encoding="utf-8")
    fired = re.findall(r"alertname: (\w+)\n +exp_alerts:\n", text)
    assert sorted(set(fired)) == sorted(ALERTS)
    assert set(re.findall(r"alertname: (\w+)}", text)) == set(ALERTS)


# -- Grafana ---------------------------------------------------------------------------------------------------------

PROVISIONING = DEPLOY / "grafana" / "provisioning"
DASHBOARD = json.loads((PROVISIONING / "dashboards" / "ledgerctl.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(panel, target) for panel in PANELS for target in panel["targets"]]
[VARIABLE] = DASHBOARD["templating"]["list"]

EXPOSED = {one.name + ("_info" if one.kind == "info" else ""): one for one in metrics.DECLARED}
PROMETHEUS_OWN = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "ledger", "instance"}}
CLOSED = {
    "kind": set[str](Kind),
    "status": set[str](Status),
    "outcome": {"posted", "replayed", "refused"},
    "state": set(epochs.STATES),
    "use": {"balances", "outcomes", "limits"},
    "result": {"hit", "miss", "mismatch", "fallback", "allowed", "refused", "closed"},
    "ledger": {"main"},
}
"""Values of labels, where the program has a list of them."""

WORDS = {"by", "on", "or", "and", "unless", "without", "ignoring"}


def labels_of(name: str) -> set[str]:
    """As Prometheus has them: what is pushed has the labels of its group, what is scraped those of its target."""
    if name in PROMETHEUS_OWN:
        return PROMETHEUS_OWN[name]
    one = EXPOSED[name]
    return {*one.labels, *(("job", "ledger") if one in metrics.OF_RUNS else ("job", "instance"))}


def filled(expr: str) -> str:
    """With values for Grafana's variables."""
    return expr.replace("$__rate_interval", "5m").replace("$ledger", "main")


def names_in(expr: str) -> set[str]:
    """What is neither a function, a word of the language, a label nor a text."""
    bare = re.sub(r"\b(?:by|on) \([^)]*\)|\{[^}]*\}|\[[^]]*\]", " ", re.sub(r'"[^"]*"', "", filled(expr)))
    return set(re.findall(r"\b[a-zA-Z_]\w*\b(?!\s*\()", bare)) - WORDS


def groups_in(expr: str) -> list[set[str]]:
    return [set(re.split(r",\s*", group)) for group in re.findall(r"\bby \(([^)]*)\)", expr)]


def of_query(query: tuple[dict[str, Any], dict[str, Any]]) -> str:
    return f"{query[0]['title']} {query[1]['refId']}"


@pytest.mark.parametrize("query", QUERIES, ids=of_query)
def test_a_query_asks_for_metrics_that_there_are_by_labels_that_they_have(
    query: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    expr = query[1]["expr"]
    names = names_in(expr)

    assert names
    assert names <= EXPOSED.keys() | PROMETHEUS_OWN.keys()
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", expr):
        given = dict(re.findall(r'(\w+)=~?"([^"]*)"', matchers))
        assert given.keys() <= labels_of(name)
        assert {label for label in given.keys() & CLOSED.keys() if filled(given[label]) not in CLOSED[label]} == set()
    has = set.intersection(*map(labels_of, names))
    groups = groups_in(expr)
    assert [group for group in groups if not group <= has] == []
    left = groups[0] if groups else set() if re.search(r"\b(?:sum|max|min)\(", expr) else has
    assert set(re.findall(r"\{\{(\w+)\}\}", query[1]["legendFormat"])) <= left


def test_a_query_of_a_metric_with_a_ledger_asks_for_the_ledger_that_was_chosen() -> None:
    chosen = 'ledger=~"$ledger"'

    asked = {(name, chosen in query["expr"]) for _, query in QUERIES for name in names_in(query["expr"])}

    assert {name for name, _ in asked if name in EXPOSED and "ledger" in labels_of(name)} == {
        name for name, by_ledger in asked if by_ledger
    }
    assert not [name for name, by_ledger in asked if not by_ledger and name in EXPOSED and "ledger" in labels_of(name)]


def test_every_metric_has_a_panel() -> None:
    assert EXPOSED.keys() <= set().union(*(names_in(target["expr"]) for _, target in QUERIES))


def test_the_ledgers_to_choose_from_are_those_that_anything_is_known_of() -> None:
    [names] = re.findall(r'^label_values\(\{__name__=~"([\w|]+)"\}, ledger\)$', VARIABLE["query"]["query"])

    assert VARIABLE["name"] == "ledger"
    assert VARIABLE["definition"] == VARIABLE["query"]["query"]
    assert [name for name in names.split("|") if "ledger" not in labels_of(name)] == []


def test_every_panel_has_its_own_place_a_datasource_and_says_what_to_do() -> None:
    source = (PROVISIONING / "datasources" / "prometheus.yml").read_text(encoding="utf-8")
    [uid] = re.findall(r"(?m)^    uid: (\w+)", source)
    datasource = {"type": "prometheus", "uid": uid}
    places = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert len(PANELS) > 20
    assert len(set(ids)) == len(ids)
    assert len(set(places)) == len(places)
    assert max(x for x, _ in places) < 24
    assert [asked for asked in [VARIABLE, *PANELS] if asked["datasource"] != datasource] == []
    assert [target for _, target in QUERIES if target["datasource"] != datasource] == []
    assert [panel["title"] for panel in PANELS if len(panel["description"]) < 60] == []
    assert [panel["title"] for panel in PANELS if "unit" not in panel["fieldConfig"]["defaults"]] == []


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_names_only_commands_that_there_are_and_columns_that_it_has(panel: dict[str, Any]) -> None:
    text = panel["description"]
    refs = [target["refId"] for target in panel["targets"]]
    renamed: dict[str, str] = {}
    for change in panel.get("transformations", []):
        renamed |= change["options"].get("renameByName", {})
    coloured = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    alerts = set(re.findall(r"\bLedger[A-Z]\w+", text))

    assert not misunderstood(text) if "`" in text else panel["type"] != "stat"
    assert alerts <= set(ALERTS)
    assert len(set(refs)) == len(refs)
    assert {name.removeprefix("Value #") for name in renamed if name.startswith("Value #")} <= set(refs)
    assert coloured <= set(renamed.values())


def test_grafana_finds_the_dashboard_where_it_is_told_to_look() -> None:
    provider = (PROVISIONING / "dashboards" / "ledgerctl.yml").read_text(encoding="utf-8")
    [path] = re.findall(r"(?m)^      path: (\S+)", provider)
    [here, there] = re.findall(r"- (\./deploy/grafana\S*?):(/[^:\s]+):ro", COMPOSE)[0]

    assert (ROOT / here / Path(path).relative_to(there) / "ledgerctl.json").is_file()


def series() -> Iterator[dict[str, str]]:
    """One of everything that Prometheus may be told, for promtool."""
    for name, one in EXPOSED.items():
        own = {label: sorted(CLOSED.get(label, {"x"})) for label in (*one.labels, *labels_of(name))}
        if one in metrics.OF_RUNS:
            own["job"] = ["ledgerctl_reconcile"]
        for values in product(*own.values()):
            labels = ", ".join(f'{label}="{value}"' for label, value in zip(own, values, strict=True))
            yield {"series": f"{name}{{{labels}}}", "values": "0+10x60" if one.kind == "counter" else "1x60"}
    yield {"series": 'up{job="ledgerctl", instance="x"}', "values": "1x60"}
    yield {"series": 'ALERTS{alertname="LedgerFindings", alertstate="firing", severity="critical"}', "values": "1x60"}


def test_every_query_has_an_answer_where_everything_is_told(tmp_path: Path) -> None:
    promtool = tool("promtool")
    something = [{"labels": "{}", "value": 1}]
    questions = [
        {"expr": f"count({filled(target['expr'])}) > bool 0", "eval_time": "1h", "exp_samples": something}
        for _, target in QUERIES
    ]
    told = {"interval": "1m", "input_series": list(series()), "promql_expr_test": questions}
    (tmp_path / "dashboard.test.yml").write_text(json.dumps({"tests": [told]}), encoding="utf-8")  # JSON is YAML

    assert len(questions) > 30
    assert "SUCCESS" in output_of(promtool, "test", "rules", "dashboard.test.yml", cwd=tmp_path)


# -- the image -------------------------------------------------------------------------------------------------------

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
IGNORED = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]


def stages() -> Iterator[list[tuple[str, str]]]:
    """The instructions of each stage, FROM first, with what they say in one line."""
    text = re.sub(r"(?m)^#.*\n", "", DOCKERFILE).replace("\\\n", "")
    lines = [line.partition(" ") for line in text.splitlines() if line]
    starts = [place for place, line in enumerate(lines) if line[0] == "FROM"]
    for start, end in zip(starts, [*starts[1:], None], strict=True):
        yield [(word, " ".join(rest.split())) for word, _, rest in lines[start:end]]


BUILD, LAST = stages()


def said(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for instruction, rest in stage if instruction == word]


def test_the_image_is_of_one_python_to_the_patch_that_the_program_may_run_on() -> None:
    [build], [last] = said(BUILD, "FROM"), said(LAST, "FROM")
    pinned = re.fullmatch(r"python:(\d+)\.(\d+)\.\d+-slim-[a-z]+", last)
    lowest = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["project"]["requires-python"])

    assert build == f"{last} AS build"
    assert pinned
    assert lowest
    assert [int(part) for part in pinned.groups()] >= [int(part) for part in lowest.groups()]


def test_the_last_stage_takes_the_wheel_and_nothing_else() -> None:
    [run] = said(LAST, "RUN")
    [built] = [line for line in said(BUILD, "RUN") if "hatchling build" in line]

    assert {word for word, _ in LAST} == {"FROM", "RUN", "ENV", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert re.findall(r"--mount=(\S+)", run) == ["type=bind,from=build,source=/dist,target=/dist"]
    assert built == "python -m hatchling build -t wheel -d /dist"
    assert re.findall(r'pip install .*?"(.*?)"', run) == ["$(ls /dist/*.whl)[bank,redis]"]
    assert {"bank", "redis"} <= PROJECT["project"]["optional-dependencies"].keys()


def test_the_image_runs_as_a_user_of_a_number_that_is_not_root() -> None:
    [user] = said(LAST, "USER")
    number = user.partition(":")[0]

    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", user)
    assert user == f"{number}:{number}"
    assert set(re.findall(r"--(?:[ug]id|owner|group)[ =](\S+)", said(LAST, "RUN")[0])) == {number}
    assert f"chown {user} pgpass" in DOCKERFILE
    assert [word for word, _ in LAST].index("RUN") < [word for word, _ in LAST].index("USER")


def test_the_image_starts_the_program_without_a_shell_between() -> None:
    [entrypoint], [command] = said(LAST, "ENTRYPOINT"), said(LAST, "CMD")

    assert json.loads(entrypoint) == list(PROJECT["project"]["scripts"])
    assert not parse(json.loads(command))


def test_the_image_has_no_secret_and_is_told_none_while_it_is_built() -> None:
    instructions = [*BUILD, *LAST]
    named = {name for _, rest in instructions for name in re.findall(r"\b[A-Z][A-Z_]+(?==)", rest)}

    assert "ARG" not in {word for word, _ in instructions}
    assert named == {"XDG_STATE_HOME", "PYTHONDONTWRITEBYTECODE"}
    assert not re.search(r"(?i)passw|secret|token|://", " ".join(rest for _, rest in instructions))
    assert set(re.findall(r"--env (LEDGERCTL_\w+)", DOCKERFILE)) - SETTINGS == set()
    assert "--env PGPASSFILE=" in DOCKERFILE


def copied() -> list[str]:
    return [name for line in said(BUILD, "COPY") for name in line.split()[:-1]]


def test_the_build_sees_only_what_it_copies() -> None:
    assert IGNORED[0] == "*"
    assert IGNORED[1:] == [*(f"!{name}" for name in copied()), "**/__pycache__"]
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def wheel_of(directory: Path, place: Path) -> dict[str, int]:
    """The files of the wheel that is built there, with their checksums."""
    output_of(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place), cwd=directory)
    [wheel] = place.glob("*.whl")
    with ZipFile(wheel) as archive:
        return {file.filename: file.CRC for file in archive.infolist()}


def test_the_wheel_of_the_image_is_that_of_the_checkout(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling, which builds the wheel, is not installed")
    source = tmp_path / "source"
    source.mkdir()
    for line in said(BUILD, "COPY"):
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / name, source / target / name)

    there, here = wheel_of(source, tmp_path / "there"), wheel_of(ROOT, tmp_path / "here")

    assert "ledgerctl/migrations/env.py" in here
    assert there == here


def test_the_image_has_the_versions_that_are_tested() -> None:
    [script] = re.findall(r"sed -n '[^']+' requirements.txt", said(BUILD, "RUN")[0])
    locked = re.findall(r"(?m)^[A-Za-z0-9_.\-]+==\S+", (ROOT / "requirements.txt").read_text(encoding="utf-8"))

    constraints = output_of(*shlex.split(script), cwd=ROOT).splitlines()

    assert [line.partition(" ")[0] for line in constraints] == locked
    assert [line for line in constraints if "\\" in line or "--hash" in line] == []
    assert said(LAST, "RUN")[0].count("--constraint /dist/constraints.txt") == 1
