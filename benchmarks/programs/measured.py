"""Runs a command and prints what it cost: CPU seconds and peak memory in bytes, as JSON.

A small process between the two: Linux counts what a process was before its exec to its peak.
"""

import json
import os
import sys


def main(command: list[str]) -> None:
    pid = os.fork()
    if pid == 0:
        os.dup2(2, 1)  # standard output is for the figures alone
        os.execvp(command[0], command)
    _, status, used = os.wait4(pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{command[0]} ended with {code}")
    print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss * 1024]))


if __name__ == "__main__":
    main(sys.argv[1:])
