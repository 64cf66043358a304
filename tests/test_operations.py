"""Every command of docs/operations.md, run in a shell as an operator does, against a living service."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.demo import status
from monitor.demo.server import World, serve_in_thread
from tests.service import Far, Service, wait_until

MANUAL = Path(__file__).parent.parent / "docs" / "operations.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", MANUAL.read_text(), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
NUMBER = 174512233
STUBS = {  # what there is where systemd runs
    "podcast-monitor": '{python} -m monitor --config {config} "$@"',
    "journalctl": "cat {log}",
    "systemctl": 'case "$1" in kill) kill -USR1 {pid};; *) echo "$@";; esac',
}
FOUND_PROBLEMS = 1  # check's exit status


class Machine:
    """A service under something like systemd."""

    def __init__(self, directory, service):
        self.bin = directory / "bin"
        self.bin.mkdir()
        self.log = directory / "journal"
        text = service.config.read_text()
        text = text.replace('format = "json"', 'format = "logfmt"').replace(
            'name = "show"', 'name = "latent-space"'
        )
        service.config.write_text(text)
        command = [sys.executable, "-m", "monitor", "--config", str(service.config), "run"]
        with self.log.open("w") as log:
            self.daemon = subprocess.Popen(command, stderr=log)
        there = {"python": sys.executable, "config": service.config, "log": self.log}
        for name, script in STUBS.items():
            stub = self.bin / name
            stub.write_text("#!/bin/sh\n" + script.format(**there, pid=self.daemon.pid) + "\n")
            stub.chmod(0o755)

    def run(self, command):
        environ = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.bin,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def logged(self, text):
        wait_until(lambda: text in self.log.read_text(), text)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    directory = tmp_path_factory.mktemp("operations")
    far = Far()
    with serve_in_thread(World(far.publisher, replica=far.replica)) as url:
        machine = Machine(directory, Service(directory, url, far))
        machine.logged("event=feed.polled")
        far.publish(NUMBER, "An episode to ask about")
        machine.logged("event=request.processed")
        machine.run("systemctl kill -s USR1 podcast-monitor")
        far.replica.post_faults.always(status(503))
        far.publish(NUMBER + 1, "One that waits")
        machine.logged("event=request.deferred")
        machine.run("systemctl kill -s USR1 podcast-monitor")
        machine.logged("event=status.request")
        yield machine
        machine.daemon.kill()
        machine.daemon.wait()


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_the_manual_can_be_followed(machine, command):
    done = machine.run(command)
    assert done.returncode in (0, FOUND_PROBLEMS if command.endswith("check") else 0), done
    assert done.stdout or "kill" in command or "--status failed" in command, done
    assert "Traceback" not in done.stderr


def test_there_are_ten_questions():
    assert len(re.findall(r"^## .*\?$", MANUAL.read_text(), re.MULTILINE)) == 10
