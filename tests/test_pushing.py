"""What a run leaves for Prometheus, at a gateway and in a file; and that nothing which happens to it is an error."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledgerctl import metrics
from ledgerctl.pushing import JobResult, report
from tests import gateways

RUN = "ledgerctl_job_last_run_timestamp_seconds"
SUCCESS = "ledgerctl_job_last_success_timestamp_seconds"
CODE = "ledgerctl_job_last_exit_code"
FINDINGS = "ledgerctl_reconcile_findings"

LABELS = {"job": "ledgerctl_reconcile", "ledger": "main"}
CLEAN = JobResult("ledgerctl_reconcile", "main", 1_000_000.5, 1_000_002.0, 0, findings=0)
FAILED = JobResult("ledgerctl_reconcile", "main", 2_000_000.0, 2_000_001.0, 69)
DIFFERENT = JobResult("ledgerctl_reconcile", "main", 3_000_000.0, 3_000_001.0, 6, findings=4)
MATCHED = replace(
    CLEAN, job="ledgerctl_reconcile_statement", open_items=3, oldest_open_age_s=86_400.0, oldest_statement_at_s=3_600.0
)
ALL = replace(
    MATCHED,
    outcomes={"posted": 7, "refused": 1},
    retries=2,
    lock_wait_s=0.5,
    cache_requests={("balances", "hit"): 5, ("outcomes", "miss"): 1},
)


# -- the metrics -----------------------------------------------------------------------------------------------------


def test_every_declared_metric_is_left_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "job.prom"

    assert report(ALL, "", file) == []

    text = file.read_text()
    assert set(re.findall(r"(?m)^(\w+)\{", text)) == {one.name for one in metrics.OF_RUNS}
    assert 'ledgerctl_job_outcomes{job="ledgerctl_reconcile_statement",ledger="main",outcome="posted"} 7.0' in text
    assert re.findall(r'cache_requests\{.*?,result="(\w+)",use="(\w+)"\} (\S+)', text) == [
        ("hit", "balances", "5.0"), ("miss", "outcomes", "1.0"),
    ]  # fmt: skip


def test_what_is_left_is_good_style_for_promtool(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool here (Debian: prometheus)")
    file = tmp_path / "job.prom"
    report(MATCHED, "", file)

    done = subprocess.run(
        [promtool, "check", "metrics"], input=file.read_bytes(), capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -- the gateway -----------------------------------------------------------------------------------------------------


def test_a_gateway_is_told_by_post_in_the_group_of_job_and_ledger() -> None:
    with gateways.recording() as gateway:
        assert report(MATCHED, gateway.url, None) == []

    [sent] = gateway.sent
    assert (sent.method, sent.path) == ("POST", "/metrics/job/ledgerctl_reconcile_statement/ledger/main")
    assert sent.values == {
        RUN: 1_000_002.0,
        SUCCESS: 1_000_002.0,
        "ledgerctl_job_duration_seconds": 1.5,
        CODE: 0,
        FINDINGS: 0,
        "ledgerctl_reconcile_open_items": 3,
        "ledgerctl_reconcile_oldest_open_item_age_seconds": 86_400,
        "ledgerctl_reconcile_oldest_statement_timestamp_seconds": 3_600,
    }


def test_the_exit_code_says_whether_a_run_was_a_success() -> None:
    """An account that agrees with its bank ends with 0; the findings are those of other accounts, too."""
    with gateways.recording() as gateway:
        report(replace(MATCHED, findings=2), gateway.url, None)
        report(replace(MATCHED, exit_code=6), gateway.url, None)

    assert [SUCCESS in sent.values for sent in gateway.sent] == [True, False]


def test_a_failure_after_a_success_leaves_the_success_at_a_real_gateway(tmp_path: Path) -> None:
    with gateways.real(tmp_path) as url:
        assert report(CLEAN, url, None) == []
        first = gateways.scraped(url)
        assert report(FAILED, url, None) == []
        second = gateways.scraped(url)
        assert report(DIFFERENT, url + "/", None) == []
        third = gateways.scraped(url)

    group = {**LABELS, "instance": ""}
    assert (first[RUN], first[SUCCESS], first[CODE]) == ((group, 1_000_002.0), (group, 1_000_002.0), (group, 0))
    assert (second[RUN], second[SUCCESS], second[CODE]) == ((group, 2_000_001.0), (group, 1_000_002.0), (group, 69))
    assert (third[SUCCESS], third[CODE], third[FINDINGS]) == ((group, 1_000_002.0), (group, 6), (group, 4))


def test_a_real_gateway_takes_any_name_of_a_ledger(tmp_path: Path) -> None:
    with gateways.real(tmp_path) as url:
        for name in ("a/b", "größer 1", "x:y.z"):
            assert report(replace(CLEAN, ledger=name), url, None) == []
            assert report(replace(FAILED, ledger=name), url, None) == []
        with urlopen(f"{url}/metrics") as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))

    [runs] = [family.samples for family in families if family.name == RUN]
    assert {one.labels["ledger"] for one in runs} == {"a/b", "größer 1", "x:y.z"}


def test_a_gateway_that_refuses_the_connection_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

    assert report(CLEAN, url, None) == [f"the metrics of this run were not pushed to {url}: Connection refused"]


@pytest.mark.parametrize("gateway", [gateways.silent, gateways.dripping])
def test_a_gateway_that_does_not_answer_is_left_behind(gateway: Callable[[], AbstractContextManager[str]]) -> None:
    """Without an end of the wait, the second would go on for as long as this test waits for it."""
    with gateway() as url:
        [problem] = report(CLEAN, url, None)

    assert problem == f"the metrics of this run were not pushed to {url}: no answer within 3 s"


def test_a_program_ends_while_its_gateway_still_does_not_answer(tmp_path: Path) -> None:
    """Whatever hangs is left behind by the process too, and says nothing as it goes."""
    code = "from tests.test_pushing import CLEAN, report\nimport sys\nprint(*report(CLEAN, sys.argv[1], None))"
    with gateways.dripping() as url:
        command = [sys.executable, "-c", code, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert "no answer" in done.stdout


def test_what_a_gateway_says_against_it_is_shown_in_one_line() -> None:
    text = "pushed metrics are invalid:\n  wrong type\n" + "x" * 1000
    with gateways.recording(400, text) as gateway:
        [problem] = report(CLEAN, gateway.url, None)

    assert "400 Bad Request: pushed metrics are invalid: wrong type xxx" in problem
    assert "\n" not in problem
    assert len(problem) < 400


def test_a_real_gateway_says_what_does_not_fit(tmp_path: Path) -> None:
    with gateways.real(tmp_path) as url:
        group = f"{url}/metrics/job/ledgerctl_reconcile/ledger/other"
        body = f"# TYPE {RUN} counter\n{RUN} 1\n".encode()
        with urlopen(group, data=body):
            pass
        [problem] = report(CLEAN, url, None)

    assert "400 Bad Request: " in problem
    assert RUN in problem


def test_a_redirect_is_no_success() -> None:
    """A redirected POST would arrive as a GET, which any page answers."""
    with gateways.recording() as page, gateways.recording(302, location=f"{page.url}/login") as gateway:
        [problem] = report(CLEAN, gateway.url, None)

    assert "302 Found" in problem
    assert page.sent == []


def test_a_name_that_does_not_resolve_is_a_sentence() -> None:
    [problem] = report(CLEAN, "http://gateway.invalid:9091", None)

    assert problem.startswith("the metrics of this run were not pushed to http://gateway.invalid:9091: ")
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://", "http://"),
        ("127.0.0.1:9091", "127.0.0.1:9091"),
        ("file:///etc/hosts", "file:///etc/hosts"),
        ("http://127.0.0.1:port", "http://127.0.0.1:port"),
        ("http://[::1", "http://[::1"),
        ("http://127.0.0.1:9091 x", "http://127.0.0.1:9091 x"),
        ("http://127.0.0.1:99999", "http://127.0.0.1:99999"),
        ("http://" + "a" * 70 + ".example", "http://" + "a" * 70 + ".example"),
        ("http://127.0.0.1:9091/?token=s3cret", "http://127.0.0.1:9091/?***"),
        ("http://ops:s3/cret@127.0.0.1:9091", "http://***@127.0.0.1:9091"),
        ("http://ops:s3?c#ret@127.0.0.1:9091", "http://***@127.0.0.1:9091"),
        ("ops:s3cret@127.0.0.1:9091", "***@127.0.0.1:9091"),
    ],
)
def test_a_url_that_is_none_is_a_sentence_without_what_is_secret_in_it(url: str, shown: str) -> None:
    [problem] = report(CLEAN, url, None)

    assert problem.startswith(f"the metrics of this run were not pushed to {shown}: ")
    assert "s3" not in problem
    assert "ret@" not in problem


def test_a_login_in_the_url_is_sent_and_never_shown() -> None:
    with gateways.recording(403, "no") as gateway:
        [problem] = report(CLEAN, gateway.url.replace("http://", "http://ops:s3cr%40t@"), None)

    assert [sent.authorization for sent in gateway.sent] == ["Basic b3BzOnMzY3JAdA=="]
    assert "***@127.0.0.1" in problem
    assert "403" in problem
    assert "s3cr" not in problem


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with gateways.recording() as proxy, gateways.recording() as gateway:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert report(CLEAN, gateway.url, None) == []

    assert proxy.sent == []
    assert len(gateway.sent) == 1


def test_an_environment_of_several_processes_leaves_no_files(tmp_path: Path) -> None:
    """The library would keep a file for each process that ever ran."""
    code = "from tests.test_pushing import CLEAN, report\nimport sys\nprint(report(CLEAN, sys.argv[1], None))"
    with gateways.recording() as gateway:
        done = subprocess.run(
            [sys.executable, "-c", code, gateway.url],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )

    assert (done.stdout, list(tmp_path.iterdir())) == ("[]\n", [])
    assert gateway.sent[0].values[RUN] == 1_000_002.0


# -- the textfile ----------------------------------------------------------------------------------------------------


def test_a_file_says_whose_it_is_and_everybody_may_read_it(tmp_path: Path) -> None:
    """All files of a machine are read as one: two jobs without labels would stand in each other's way."""
    file = tmp_path / "job.prom"

    assert report(CLEAN, "", file) == []

    assert all(labels == LABELS for labels, _ in gateways.samples(file.read_text()).values())
    assert file.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == ["job.prom"]


def test_whoever_reads_the_file_meanwhile_reads_the_former_one_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "job.prom"
    report(CLEAN, "", file)

    with file.open() as reading:
        report(DIFFERENT, "", file)
        found = gateways.samples(reading.read())

    assert found[RUN] == (LABELS, 1_000_002.0)
    assert gateways.samples(file.read_text())[RUN] == (LABELS, 3_000_001.0)


def test_a_failure_after_a_success_leaves_the_success_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "job.prom"

    report(DIFFERENT, "", file)
    assert SUCCESS not in gateways.samples(file.read_text())
    report(CLEAN, "", file)
    report(FAILED, "", file)

    found = gateways.samples(file.read_text())
    assert (found[RUN], found[SUCCESS], found[CODE]) == ((LABELS, 2_000_001.0), (LABELS, 1_000_002.0), (LABELS, 69))
    assert found[FINDINGS] == (LABELS, 0)


def test_of_a_metric_that_a_run_tells_nothing_of_the_run_before_stays(tmp_path: Path) -> None:
    """As at a gateway: the outcomes of two runs are not those of the last one."""
    file = tmp_path / "job.prom"
    report(replace(CLEAN, outcomes={"posted": 1}, cache_requests={("balances", "hit"): 5}), "", file)
    report(replace(FAILED, outcomes={"refused": 2}, cache_requests={("balances", "fallback"): 1}), "", file)

    text = file.read_text()
    assert re.findall(r'outcome="(\w+)"', text) == ["refused"]
    assert re.findall(r'result="(\w+)"', text) == ["fallback"]


def test_the_success_of_another_job_is_not_taken_over(tmp_path: Path) -> None:
    file = tmp_path / "job.prom"
    report(MATCHED, "", file)
    report(replace(CLEAN, ledger="other"), "", file)

    report(FAILED, "", file)

    assert SUCCESS not in gateways.samples(file.read_text())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"<html>",
        f"{SUCCESS}{{".encode(),
        f"{SUCCESS} NaN\n".encode(),
        f"# TYPE {SUCCESS} gauge\n{SUCCESS}".encode(),
        f'{SUCCESS}{{job="ledgerctl_reconcile",ledger="main"}} +Inf\n'.encode(),
    ],
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "job.prom"
    file.write_bytes(content)

    assert report(FAILED, "", file) == []

    assert gateways.samples(file.read_text())[RUN] == (LABELS, 2_000_001.0)
    assert SUCCESS not in gateways.samples(file.read_text())


def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "job.prom"
    assert report(CLEAN, "", missing) == [
        f"the metrics of this run were not written to {missing}: No such file or directory"
    ]

    taken = tmp_path / "taken.prom"
    taken.mkdir()
    assert report(CLEAN, "", taken) == [f"the metrics of this run were not written to {taken}: Is a directory"]
    assert list(tmp_path.iterdir()) == [taken]


def test_many_writers_at_once_leave_a_whole_file_with_the_last_success(tmp_path: Path) -> None:
    """Those that fail read the file before they write it: without taking turns one of them would lose the success."""
    file = tmp_path / "job.prom"
    for _ in range(20):
        file.unlink(missing_ok=True)
        writers = [Thread(target=report, args=(FAILED, "", file)) for _ in range(7)]
        writers.insert(3, Thread(target=report, args=(CLEAN, "", file)))
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()

        found = gateways.samples(file.read_text())
        assert found[SUCCESS] == (LABELS, 1_000_002.0)
        assert found[CODE][1] in (0, 69)
    assert [one.name for one in tmp_path.iterdir()] == ["job.prom"]


def test_one_way_that_fails_does_not_close_the_other(tmp_path: Path) -> None:
    file = tmp_path / "job.prom"
    with gateways.silent() as url:
        [problem] = report(CLEAN, url, file)

    assert "not pushed" in problem
    assert gateways.samples(file.read_text())[SUCCESS] == (LABELS, 1_000_002.0)
