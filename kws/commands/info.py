"""`kws info`: what a model file says about itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kws.terminal import options

if TYPE_CHECKING:
    from kws.card import Card, Rate, Threshold, Verification
    from kws.origin import Accuracy, Variant
    from kws.session import Model


def info(
    model: Annotated[
        str | None, typer.Argument(help="A model file; without one, the bundled model.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Tell what a model is, from its card."""
    from kws.session import load
    from kws.terminal.lines import print_json
    from kws.text import one_line

    loaded = load(model)
    if json:
        print_json(_record(loaded))
        return
    for name, text in _facts(loaded):
        print(f"{name:16} {one_line(text)}")


def _record(model: Model) -> dict[str, Any]:
    """Return the card as a JSON object, without the parts that are no text."""
    import msgspec

    card: dict[str, Any] = msgspec.to_builtins(model.card)
    for part in ("self_test", "gate_model"):
        card.pop(part, None)
    return {"file": str(model.path), "bytes": model.path.stat().st_size, **card}


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    card = model.card
    size = model.path.stat().st_size / 1000
    yield "file", f"{model.path}, {size:,.0f} kB"
    if card.name or card.description:
        yield "name", ": ".join(part for part in (card.name, card.description) if part)
    yield "kind", f"{card.kind} model of the {card.family} family, {card.activation} scores"
    yield "hears", _lengths(card)
    if (shared := _encoder(model)) is not None:
        yield "encoder", shared
    yield from _words(card)
    yield from _after_wake(card)
    if not card.labels:
        yield "gives", "embeddings only: kws classify --embedding"
    yield "gate", f"{card.gate.name}, stays open for {card.gate.hangover_s:g} s"
    decision = card.decision
    times = (
        f"smoothing {decision.smoothing_s:g} s, release {decision.release_s:g} s, "
        f"refractory {decision.refractory_s:g} s, wake window {decision.wake_window_s:g} s"
    )
    yield "decision", times
    for point in card.operating_points:
        misses = "" if point.miss_rate is None else f", misses {point.miss_rate:.1%}"
        wanted = f"{point.role}s at {point.false_alarms_per_hour:g} FA/h"
        yield "operating point", f"{wanted}: {_rate(point.measured)}{misses}"
    if card.verification is not None:
        yield from _verification(card.verification)
    for figure in card.accuracy:
        yield "accuracy", _figure(figure)
    yield from _origin(card)


def _verification(found: Verification) -> Iterator[tuple[str, str]]:
    """How it verifies what a first stage proposes, and the thresholds of the two together."""
    from kws.session import load

    whose = "any first stage"
    if found.first_stage:
        bundled = found.first_stage == load().sha256
        whose = "the bundled model" if bundled else f"first stage {found.first_stage[:16]}"
    calls = f"the mean of {found.calls} calls" if found.calls > 1 else "one call"
    own, first = f"{found.verifier_weight:g} x its own", f"{found.first_weight:g} x the first's"
    times = f"every {found.every_s:g} s, at most {found.calls_per_s:g} a second"
    if found.rest_s:
        times += f", a rest of {found.rest_s:g} s after calls that refused all"
    yield "verifies", f"{whose}: log-odds {own} + {first} {found.bias:+g}; {calls}, {times}"
    for name, threshold in found.thresholds.items():
        level = found.candidates.get(name)
        proposed = "" if level is None else f", candidate from {level:.4g}"
        yield "verified", f"{name}, threshold {threshold.value:.4g}{proposed}"
    for line in _shared_rates(found.thresholds):
        yield "verified", line
    if not found.thresholds:
        yield "verified", "thresholds of 0.5, not calibrated together: `kws tune` finds others"
    for point in found.operating_points:
        misses = "" if point.miss_rate is None else f", misses {point.miss_rate:.1%}"
        wanted = f"{point.role}s at {point.false_alarms_per_hour:g} FA/h"
        yield "verified point", f"{wanted}: {_rate(point.measured)}{misses}"


def _lengths(card: Card) -> str:
    rate = card.sample_rate
    ahead = f", looks {1000 * card.latency / rate:.0f} ms ahead" if card.latency else ""
    padded = f", each padded to {card.padded_to / rate:g} s" if card.padded_to else ""
    often = f"every {1000 * card.hop / rate:.0f} ms"
    if (stride := card.stride) is not None:
        slow = 1000 * stride.hops * card.hop / rate
        often += f" near a word, every {slow:.0f} ms while all scores are under {stride.level:g}"
    return f"{rate} Hz, {card.window / rate:.2f} s at a time{padded}, {often}{ahead}"


def _encoder(model: Model) -> str | None:
    """What it shares with other models, and what that costs."""
    encoder = model.encoder
    if encoder is None:
        return f"{model.card.encoder}, of its own" if model.card.encoder else None
    if not model.is_head:
        return f"{encoder.id}, shared with the heads of own words"
    cost = encoder.card.cost
    each = "" if cost is None else f", {cost.ms_per_call:.1f} ms a window, once for all heads"
    return f"a head on the shared encoder {encoder.id} of {encoder.graph.path.name}{each}"


def _words(card: Card) -> Iterator[tuple[str, str]]:
    """Each keyword with its threshold, then the background labels in one."""
    from kws.keyword_levels import DEFAULT, shipped
    from kws.sensitivity import measured_range

    bases = shipped([card], {label.name: label.role for label in card.keywords})
    for label in card.keywords:
        threshold = card.thresholds.get(label.name)
        role = "wake word" if label.role == "wake" else "keyword"
        parts = [label.name]
        if label.phrase not in {None, label.name}:
            parts.append(f"said {label.phrase!r}")
        if threshold is None:
            parts.append(f"threshold {DEFAULT:g}, not calibrated")
        else:
            parts.append(f"threshold {threshold.value:.4g}")
        base = bases[label.name]
        if (measured := measured_range(base.threshold, base.points)) is not None:
            parts.append(f"sensitivity measured from {measured[0]:.0f} to {measured[1]:.0f}")
        yield role, ", ".join(parts)
    yield from _false_alarms(card)
    background = [label.name for label in card.labels if label.role == "background"]
    if background:
        yield "background", ", ".join(background)


def _after_wake(card: Card) -> Iterator[tuple[str, str]]:
    """The thresholds of commands after a wake word, and what they were chosen by."""
    if not card.after_wake:
        return
    levels = (f"{name} {level.value:.4g}" for name, level in card.after_wake.items())
    yield "after a wake word", ", ".join(levels)
    found = next((t.after_wake for t in card.after_wake.values() if t.after_wake is not None), None)
    if found is not None:
        bounds = f"95 %: {found.low:.2%} to {found.high:.2%}"
        yield "", f"a wrong one follows {found.events} of {found.wakes} wakes ({bounds})"


def _false_alarms(card: Card) -> Iterator[tuple[str, str]]:
    """What was measured at these thresholds."""
    named = {label.name for label in card.keywords}
    for line in _shared_rates({n: t for n, t in card.thresholds.items() if n in named}):
        yield "false alarms", line


def _shared_rates(thresholds: Mapping[str, Threshold]) -> Iterator[str]:
    """Yield each rate once, with all the words that it was measured of together."""
    sharing: list[tuple[Rate, list[str]]] = []
    for name, threshold in thresholds.items():
        rate = threshold.false_alarms
        same = next((names for one, names in sharing if one == rate), None)
        if same is not None:
            same.append(name)
        elif rate is not None:
            sharing.append((rate, [name]))
    for rate, names in sharing:
        yield f"{', '.join(names)}{' together' if names[1:] else ''}: {_rate(rate)}"


def _rate(rate: Rate) -> str:
    return (
        f"{rate.per_hour:.2f} FA/h ({rate.events} in {rate.hours:.1f} h, "
        f"95 %: {rate.low:.2f} to {rate.high:.2f})"
    )


def _figure(figure: Accuracy) -> str:
    return (
        f"{figure.name}: {figure.value:.4g} (95 %: {figure.low:.4g} to {figure.high:.4g}, "
        f"n = {figure.count}) on {figure.corpus}"
    )


def _variant(variant: Variant) -> str:
    right = (
        ""
        if variant.accuracy is None
        else (f", {variant.accuracy:.1%} of {variant.labelled} clips right")
    )
    return f"{variant.bytes / 1e6:.1f} MB, {variant.ms:.2f} ms a window{right}"


def _origin(card: Card) -> Iterator[tuple[str, str]]:
    if card.source is not None:
        by = f", by {card.source.way}" if card.source.way else ""
        yield "made from", f"{card.source.name}, SHA-256 {card.source.sha256[:16]}{by}"
    for data in card.data:
        by = f", by {data.by}" if data.by else ""
        yield "trained on", f"{data.name}{by} ({data.licence})"
    if card.quantization is not None:
        yield "weights", card.quantization.scheme
    if card.parity is not None:
        close = (
            f"at most {card.parity.max_difference:.2g} from its source on {card.parity.clips} "
            f"clips, same label on {card.parity.top1_agreement:.2%}"
        )
        yield "parity", close + (", written nevertheless (--force)" if card.parity.forced else "")
        for variant in card.parity.variants:
            yield variant.name, _variant(variant)
    if card.cost is not None:
        yield "cost", f"{card.cost.ms_per_call:.3f} ms a call on {card.cost.cpu}"
    if card.self_test is not None:
        yield "self-test", f"{len(card.self_test.scores)} hops, which `kws serve` repeats"
    if card.languages:
        yield "languages", ", ".join(card.languages)
    if card.licence:
        yield "licence", card.licence
    yield "made", f"{card.date} with {card.producer}, card version {card.version}"
