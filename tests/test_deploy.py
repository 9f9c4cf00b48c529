"""What deploy/ offers is good as it stands: units, crontab and alerts, which know every metric by its name."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import fields
from pathlib import Path

import pytest

from ledgerctl import config, metrics
from ledgerctl.errors import Exit
from tests.test_docs import parse

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
CRONTAB = (DEPLOY / "cron" / "ledgerctl.crontab").read_text(encoding="utf-8")
RULES = DEPLOY / "prometheus" / "ledgerctl.rules.yml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

INSTALLED = "/opt/ledgerctl/bin/ledgerctl"
"""Where deploy/ takes the program to be."""

EXPOSURE_MAX = 20
"""Of `systemd-analyze security`, in tenths."""


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} here")
    return found


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
        *("Type", "ExecStart", "ExecStartPre", "SuccessExitStatus", "TimeoutStartSec", "TimeoutStopSec"),
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
TIMER = DEPLOY / "systemd" / "ledgerctl-reconcile.timer"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_has_only_settings_that_systemd_knows_each_once(unit: Path) -> None:
    """systemd warns of a setting that it does not know, and runs the unit without it."""
    found = settings(unit)
    once = [(section, key) for section, key, _ in found if key not in REPEATED]

    assert found
    assert [(section, key) for section, key, _ in found if key not in KEYS[section]] == []
    assert len(set(once)) == len(once)


def test_the_unit_runs_a_command_that_there_is_with_settings_that_there_are() -> None:
    program, *words = shlex.split(value(RECONCILE, "ExecStart"))
    environment = dict(given.split("=", 1) for _, key, given in settings(RECONCILE) if key == "Environment")
    known = {
        f"LEDGERCTL_{section.name}_{one.name}".upper()
        for section in fields(config.Settings)
        if section.name != "protected"
        for one in fields(section.default)  # type: ignore[arg-type]  # each is a section
    }

    assert program == INSTALLED
    assert not parse(words)
    assert environment.keys() - {"PGPASSFILE"} <= known


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


def test_the_unit_leaves_little_open() -> None:
    analyze = tool("systemd-analyze")

    found = output_of(analyze, "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(RECONCILE))

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


def test_the_alerts_name_only_metrics_that_there_are() -> None:
    text = re.sub(r"(?m)#.*$", "", RULES.read_text(encoding="utf-8"))
    jobs = set(re.findall(r'job="(\w+)"', text))
    named = set(re.findall(r"ledgerctl_\w+", text)) - jobs

    assert jobs == {"ledgerctl_reconcile", "ledgerctl_reconcile_statement"}
    assert len(named) >= 5
    assert named <= {one.name for one in metrics.DECLARED}


def test_every_alert_and_every_metric_is_explained() -> None:
    assert [name for name in ALERTS if f"`{name}`" not in OPERATIONS] == []
    assert [one.name for one in metrics.DECLARED if f"`{one.name}`" not in OPERATIONS] == []


def test_prometheus_reads_the_alerts_and_the_container_sees_them() -> None:
    settings_ = (DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")

    assert re.search(rf"(?m)^rule_files:\n  - {re.escape(RULES.name)}$", settings_)
    assert "- ./deploy/prometheus:/etc/prometheus:ro" in compose


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
