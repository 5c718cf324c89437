#!/usr/bin/env python3
"""whole.py COUNT LABEL=COMMAND... - how long whole processes take, from exec to end.

The commands are run in turns, so that what else the machine does falls on all
alike: two builds of kctl are compared by

    test/bench/whole.py 100 "old=OLD/kctl masters" "new=build/release/bin/kctl masters"
"""
import os
import shlex
import sys
import time


def took_ms(command, null):
    out = [(os.POSIX_SPAWN_DUP2, null, fd) for fd in range(3)]
    began = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=out)
    status = os.waitpid(pid, 0)[1]
    if status:
        sys.exit(f"whole.py: {shlex.join(command)}: {os.waitstatus_to_exitcode(status)}")
    return (time.perf_counter() - began) * 1000


def main():
    count = int(sys.argv[1])
    labels, lines = zip(*(word.split("=", 1) for word in sys.argv[2:]))
    commands = [shlex.split(line) for line in lines]
    null = os.open("/dev/null", os.O_RDWR)
    for command in commands:
        took_ms(command, null)  # the files are in memory from here on
    rounds = [[took_ms(command, null) for command in commands] for _ in range(count)]
    for label, took in zip(labels, zip(*rounds)):
        took = sorted(took)
        print(f"{label}: p10 {took[count // 10]:.1f} p50 {took[count // 2]:.1f} p90 {took[count * 9 // 10]:.1f} ms")


main()
