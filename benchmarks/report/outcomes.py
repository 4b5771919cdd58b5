# SPDX-License-Identifier: MIT
"""Text about recovery, the flood, the relay, metrics and memory."""

from statistics import median

from benchmarks.parts import Flooded, Relayed
from benchmarks.report.tables import NONE, table
from benchmarks.results import Results

NOT_MEASURED = "Not measured; `--parts {part} --add` does."


def recovery(results: Results, plots: str) -> str:
    if not results.recoveries:
        return NOT_MEASURED.format(part="recovery")
    heads = ("", "stood still", "before", "back after", "answers", "broken or late")
    rows = [
        (
            f"round {each.round}",
            f"{each.stopped:.1f} s",
            f"{each.before:,.0f}/s",
            "never" if each.seconds is None else f"{each.seconds:.2f} s",
            _answers(each.answers),
            f"{each.broken:,}",
        )
        for each in results.recoveries
    ]
    return f"{table(heads, rows)}\n\n![Throughput over time]({plots}/recovery.svg)"


def flood(results: Results) -> str:
    if not results.floods:
        return NOT_MEASURED.format(part="flood")
    heads = (
        "", "the flood is answered in", "answers", "others, usual p50", "p50 during the flood",
        "answers to others",
    )  # fmt: skip
    return table(heads, map(_flooded, results.floods))


def _flooded(each: Flooded) -> tuple[str, ...]:
    return (
        f"round {each.round}",
        f"{each.seconds:.1f} s",
        _answers(each.answers),
        f"{each.usual:,.1f} ms",
        f"{each.during:,.1f} ms",
        _answers(each.answers_of_others),
    )


def _answers(by_status: dict[str, int]) -> str:
    return ", ".join(f"{count:,} × {status}" for status, count in by_status.items())


def relay(results: Results, plots: str) -> str:
    if not results.relayed:
        return NOT_MEASURED.format(part="relay")
    heads = ("", "requests/s", "p50 ms", "p99 ms", "errors", "oldest event", "behind at the end")
    rounds = sorted(results.relayed, key=lambda each: each.with_relay)
    rows = [_relayed(each) for each in rounds]
    return f"{table(heads, rows)}\n\n![Age of the oldest event]({plots}/relay.svg)"


def _relayed(each: Relayed) -> tuple[str, ...]:
    return (
        f"{'with' if each.with_relay else 'without'}, round {each.round}",
        f"{each.requests_per_second:,.0f}",
        f"{each.p50:,.1f}",
        f"{each.p99:,.1f}",
        f"{each.errors:,}",
        f"{median(each.ages):.2f} s, at most {max(each.ages):.2f} s" if each.ages else NONE,
        NONE if each.behind is None else f"{each.behind:.1f} s",
    )


def metrics(results: Results) -> str:
    if not results.metered:
        return NOT_MEASURED.format(part="metrics")
    heads = (
        "", "without, requests/s", "with, requests/s", "with / without",
        "without, server CPU s per 1,000", "with, server CPU s per 1,000", "errors",
    )  # fmt: skip
    rows = [
        (
            f"round {each.round}",
            f"{median(each.without):,.0f}",
            f"{median(each.counted):,.0f}",
            f"{median(each.ratios):.3f}",
            f"{each.without_cpu:.3f}",
            f"{each.counted_cpu:.3f}",
            f"{each.errors:,}",
        )
        for each in results.metered
    ]
    return table(heads, rows)


def memory(results: Results, plots: str) -> str:
    soak = results.soak
    if soak is None or not soak.resident:
        return NOT_MEASURED.format(part="soak")
    return (
        f"Under {soak.requests_per_second:,.0f} requests/s for {soak.seconds / 60:.1f} minutes,"
        f" with {soak.errors:,} errors, the largest worker had {soak.resident[0]:.0f} MiB at first,"
        f" {max(soak.resident):.0f} MiB at most and {soak.resident[-1]:.0f} MiB at the end."
        f"\n\n![Memory under load]({plots}/memory.svg)"
    )
