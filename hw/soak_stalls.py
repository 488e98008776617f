"""Which missed frames the machine itself explains: bare timer threads of the same run, one a core, were late just then."""


def explained(report, missed_ns, period_ns):
    """Of the capture times (CLOCK_MONOTONIC ns) in `missed_ns`, those within two frame periods of a machine stall that
    lasted longer than one."""
    windows = []
    for stall in report["machine_stalls"]:
        due = report["start_ns"] + stall["at_ms"] * 1e6
        windows.append((due - 2 * period_ns, due + stall["late_ms"] * 1e6 + 2 * period_ns))
    return [t for t in missed_ns if any(a <= t <= b for a, b in windows)]


def missed_times(captured, first_shown_ns, period_ns):
    """Capture times of the frames that were not shown; `first_shown_ns`: frame -> capture stamp of those that were."""
    known = sorted(first_shown_ns.items())
    start = known[0][1] - known[0][0] * period_ns
    return {frame: start + frame * period_ns for frame in range(captured) if frame not in first_shown_ns}
