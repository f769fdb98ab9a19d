"""Tables of the documentation that are made from the result files in `benchmarks/`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "benchmarks"


def result(name: str) -> Any:
    """Return what a benchmark measured, from the file of its name."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; bars in cells are escaped."""
    lines = [[cell.replace("|", r"\|") for cell in line] for line in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def families() -> str:
    """Return the families' sizes and speeds."""
    rows = []
    for name, found in result("families").items():
        forms = {form["name"]: form for form in found["variants"]}
        times = " / ".join(_ms(forms[form]["ms"]) for form in ("source", "float32", "int8"))
        sizes = f"{_mb(forms['int8']['bytes'])} of {_mb(forms['float32']['bytes'])}"
        drift, same = f"{found['max_difference']:.0e}", f"{found['top1_agreement']:.0%}"
        rows.append([name, sizes, f"{found['window_s']:g} s", times, drift, same])
    head = ["network", "int8 of float32, MB", "window", "source / float32 / int8, ms"]
    return table([*head, "drift", "same label"], rows)


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}" if size < 1e7 else f"{size / 1e6:,.0f}"


def accuracy() -> str:
    """Return missed words, false alarms and delays of both stages, as they ship."""
    rows = []
    for name, found in result("accuracy").items():
        if not isinstance(found, dict) or "streams" not in found:
            continue
        shipped = found["streams"]["shipped"]
        misses, alarms = shipped["misses"], shipped["false_alarms"]
        missed = f"{misses['value']:.1%} ({_interval(misses, 100)})"
        fired = f"{alarms['events']} in {alarms['hours']:.2f} h: {alarms['per_hour']:.1f}/h"
        delays = f"{shipped['delay_ms_p50']:.0f} / {shipped['delay_ms_p95']:.0f} ms"
        rows.append([name, missed, f"{fired} ({_interval(alarms)})", delays])
    return table(["stream", "missed (95 %)", "false alarms (95 %)", "delay p50 / p95"], rows)


def _interval(found: dict[str, float], factor: float = 1.0) -> str:
    return f"{factor * found['low']:.1f} to {factor * found['high']:.1f}"


def points() -> str:
    """Return missed words at given rates of false alarms."""
    found = {name: each["streams"]["points"] for name, each in result("accuracy").items()
             if isinstance(each, dict) and "streams" in each}  # fmt: skip
    wanted = [0.5, 1.0, 2.0]
    rows = [
        [name, *(f"{misses[rate]:.1%}" if rate in misses else "unknown" for rate in wanted)]
        for name, each in found.items()
        for misses in [{point["wanted"]: point["misses"]["value"] for point in each}]
    ]
    return table(["stream", *(f"at {rate:g} an hour" for rate in wanted)], rows)


def cost() -> str:
    """Return what pushing audio and `kws listen` cost."""
    found = result("cost")
    rows = [[f"audio pushed: {name}", f"{100 * each['cpu_s_per_s']:.2f} %"]
            for name, each in found["push"].items()]  # fmt: skip
    rows += [[f"`kws listen`: {name}", f"{100 * each['cpu_s_per_s']:.1f} %"]
             for name, each in found["listen"].items()]  # fmt: skip
    shares = table(["", "of one core"], rows)
    machine, memory = found["machine"], found["memory"]["peak_mib"]
    listening = max(each["peak_mib"] for each in found["listen"].values())
    return (
        f"{shares}\nMemory, at most: {memory:.0f} MiB where a Python program pushes audio, "
        f"{listening:.0f} MiB for `kws listen`. Measured on {machine['cores']} cores of an "
        f"{machine['cpu']}, {machine['date']}.\n"
    )


def gates() -> str:
    """Return what each gate lets through, and what it costs."""
    found = result("gate")
    missed = found["missed"].values()
    rows = [
        [f"`{name}`", f"{each['classified']:.1%}", f"{each['cpu_s_per_s']:.4f}",
         "; ".join(f"{words[name]:,}" for words in missed)]
        for name, each in found["noise"].items()
    ]  # fmt: skip
    words = f"words missed of {found['words']:,}: {'; '.join(found['missed'])}"
    return table(["gate", "noise that is classified", "CPU, s per s", words], rows)
