"""The unit file, judged by systemd's own tools."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parent.parent / "systemd" / "podcast-monitor.service"
EXPOSURE = 1.1  # the least this stack can run with: it needs the network

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here"
)


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_systemd
@pytest.mark.parametrize("file", [UNIT, UNIT.with_name("tell-me@.service")], ids=lambda f: f.name)
def test_systemd_finds_nothing_wrong_with_it(file: Path, tmp_path: Path) -> None:
    command = re.compile(r"^(Exec\w+=)\S+", re.MULTILINE)  # not installed where tests run
    unit = tmp_path / file.name
    unit.write_text(command.sub(rf"\g<1>{shutil.which('true')}", file.read_text()))

    verdict = _analyze("verify", str(unit))

    assert (verdict.returncode, verdict.stdout + verdict.stderr) == (0, "")


@needs_systemd
def test_it_is_as_locked_up_as_a_service_with_a_network_can_be() -> None:
    verdict = _analyze("security", "--offline=yes", str(UNIT))

    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", verdict.stdout)
    assert found, verdict.stdout + verdict.stderr
    assert float(found[1]) <= EXPOSURE


def test_every_setting_says_why_it_is_there() -> None:
    lines = UNIT.read_text().splitlines()

    settings = [number for number, line in enumerate(lines) if re.match(r"[A-Za-z]+=", line)]

    assert len(settings) > 60
    assert [lines[at] for at in settings if not lines[at - 1].startswith("# ")] == []


@pytest.mark.parametrize(
    "setting",
    [
        "Type=notify",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "StartLimitIntervalSec=0",
        "SyslogLevelPrefix=yes",
        "WorkingDirectory=%S/podcast-monitor",
    ],
)
def test_what_the_daemon_relies_on_is_set(setting: str) -> None:
    assert setting in UNIT.read_text().splitlines()
