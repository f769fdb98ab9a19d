"""Topics: how names become part of them, and what is retained there."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import kws
from kws.sinks import Fact, Health, Keyword, Lost, Playing, Returned

if TYPE_CHECKING:
    from kws.sinks.mqtt.settings import Settings


def slug(name: str) -> str:
    """Return a name as topics and Home Assistant's ids can hold it; two names never look alike."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    return re.sub(r"[^A-Za-z0-9_-]", "_", name) + f"-{zlib.crc32(name.encode()):08x}"


def learn(state: dict[str, Any], fact: Fact) -> None:
    """Put a fact into the state that is published."""
    match fact:
        case Playing():
            state["playback"] = fact.on
        case Lost():
            state["microphones"][fact.microphone]["lost"] = fact.reason
        case Returned():
            state["microphones"][fact.microphone]["lost"] = None
        case Health():
            state["microphones"][fact.microphone] |= {"health": fact.state, "reasons": fact.reasons}


def triggers(given: Settings, identity: str, keyword: str) -> str:
    """Return the topic by which Home Assistant learns of a keyword's trigger; `+`: of any."""
    return f"{given.discovery}/device_automation/{identity}/{keyword}/config"


def discovery(
    given: Settings, identity: str, keywords: tuple[Keyword, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield topics and what Home Assistant reads there: an event entity, and a device's triggers.

    Source: home-assistant.io/integrations, event.mqtt and device_trigger.mqtt.
    """
    if not given.discovery:
        return
    base = f"{given.topic}/{identity}"
    who = {"model": "kws", "sw_version": kws.__version__}
    device = {"identifiers": [f"kws_{identity}"], "name": given.name, **who}
    yield (
        f"{given.discovery}/event/{identity}/keyword/config",
        {
            "name": "Keyword",
            "unique_id": f"kws_{identity}_keyword",
            "event_types": [keyword.name for keyword in keywords],
            "state_topic": f"{base}/event",
            "availability_topic": f"{base}/availability",
            "qos": given.qos,
            "device": device,
        },
    )
    for keyword in keywords:
        yield (
            triggers(given, identity, slug(keyword.name)),
            {
                "automation_type": "trigger",
                "type": "wake_word" if keyword.role == "wake" else "keyword",
                "subtype": keyword.name,
                "topic": f"{base}/trigger/{slug(keyword.name)}",
                "payload": "heard",
                "qos": given.qos,
                "device": device,
            },
        )
