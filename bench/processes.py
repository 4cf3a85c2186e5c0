"""CPU time and memory of other processes, from the kernel's own books."""

import os
import time

_CPUCLOCK_SCHED = 2


def cpu_ms(pid):
    """CPU time (user and system) of a process so far, all its threads, also those that have ended; ms.

    Its CPU clock (clock_getcpuclockid(3): the complement of the pid, three bits up) counts nanoseconds, where utime and
    stime of /proc/PID/stat count hundredths of a second: too coarse for a window of 20 ms. 0 once it is gone.
    """
    try:
        return time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED) * 1000
    except OSError:
        return 0.0


def private_mb(pid):
    """Memory that only this process has: Private_Clean + Private_Dirty of smaps_rollup; 0 once it is gone."""
    kb = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup") as lines:
            for line in lines:
                if line.startswith(("Private_Clean:", "Private_Dirty:")):
                    kb += int(line.split()[1])
    except OSError:
        return 0.0
    return kb / 1024


def children(pid):
    """The children of a process by pid, each with its title."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as listed:
            for child in listed.read().split():
                try:
                    with open(f"/proc/{child}/cmdline") as title:
                        found[int(child)] = title.read().replace("\0", " ").strip()
                except OSError:
                    continue
    return found


class Meter:
    """CPU time that groups of processes spend between start() and stop().

    `groups` names each group and gives a function that says which processes it has now: a process that starts in
    between counts from its birth.
    """

    def __init__(self, groups):
        self.groups = groups
        self.before = {}

    def start(self):
        self.before = {pid: cpu_ms(pid) for pids in self.groups.values() for pid in pids()}

    def stop(self):
        """ms by group."""
        return {name: sum(cpu_ms(p) - self.before.get(p, 0.0) for p in pids()) for name, pids in self.groups.items()}
