#!/usr/bin/env python3
"""pss.py COMMAND... - run a command and print what it and its descendants held
in memory at most, all together, in MB: the greatest of the sums of their
proportional set sizes (proc(5), smaps_rollup), looked at every few
milliseconds."""
import subprocess
import sys
import time


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def pss_kib(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except OSError:  # it has just ended
        pass
    return 0


def tree(pid):
    yield pid
    for child in children(pid):
        yield from tree(child)


def main():
    with subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(map(pss_kib, tree(process.pid))))
            time.sleep(0.002)
    print(f"{peak / 1000:.1f}")
    sys.exit(process.returncode)


main()
