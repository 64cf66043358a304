"""A service whose commands need no process of their own: a hundred of them in a second."""

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from subprocess import CompletedProcess
from typing import Any
from unittest.mock import patch

import pytest

from monitor.cli import main
from tests.service import Service


class InProcess(Service):
    """What is wrong with a pipe, a signal or an encoding shows only in a real process."""

    def call(self, *arguments: str, **environ: str) -> CompletedProcess[str]:
        """Do a command in this process; return what a process would have left."""
        out, err = StringIO(), StringIO()
        argv = ["podcast-monitor", "--config", str(self.config), *arguments]
        with (
            patch.object(sys, "argv", argv),
            patch.dict(os.environ, environ),
            redirect_stdout(out),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        code = ended.value.code
        return CompletedProcess(argv, int(code or 0), out.getvalue(), err.getvalue())

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        done = self.call(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]
