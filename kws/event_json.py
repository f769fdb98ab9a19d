"""The JSON form of every event, the same wherever it comes out.

`--json`, JSON lines, the command's environment, webhook, MQTT, server-sent events and WebSockets
all give these objects. `docs/events.md` describes them to users; `docs/events.schema.json` is what
`json_schema` returns, written by `python -m kws.event_json`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from kws.flow import (
    AudioLost,
    Detection,
    DigitalSilence,
    Event,
    KeywordStuck,
    VerifierFailed,
)

SCHEMA: Final = 1
"""The version of all objects below. A new field keeps it; a field that changes its name, type,
unit or meaning, or goes, raises it."""

Share = Annotated[float, Meta(ge=0, le=1)]
Moment = Annotated[float, Meta(description="Seconds of audio since the stream's start.")]
Decibels = Annotated[float, Meta(description="RMS level in dBFS.")]
Role = Literal["keyword", "wake"]


class JsonEvent(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True
):
    """An event as JSON. Every field is always there; null where nothing is known."""

    schema: Literal[1] = SCHEMA


class Fact(JsonEvent, frozen=True, kw_only=True):
    """Something that happened, which the daemon tells its sinks.

    wall_time: seconds since the epoch; None for files and for audio that another computer sends.
    microphone: its name in the config.
    """

    wall_time: float | None = None
    microphone: str | None = None


class Heard(Fact, frozen=True, kw_only=True, tag="detection"):
    """A keyword was detected.

    keyword: its name in the model; phrase: how it is spoken; model: the model's name. score: the
    score that was compared with threshold. start_s, end_s: where the word lies; time_s: the audio
    clock when it was detected. level_db: the word's level. audio: the file that was read, of
    `kws spot`. recording: the path under which the daemon keeps the word's audio; recording_id:
    what GET /v1/recordings/ takes to give it.
    """

    keyword: str
    role: Role
    phrase: str
    model: str
    score: Share
    threshold: Share
    start_s: Moment
    end_s: Moment
    time_s: Moment
    level_db: Decibels
    audio: str | None = None
    recording: str | None = None
    recording_id: str | None = None


class Lost(Fact, frozen=True, kw_only=True, tag="microphone_lost"):
    """A microphone delivers no audio any more; it is being opened again."""

    reason: str


class Returned(Fact, frozen=True, kw_only=True, tag="microphone_returned"):
    """A microphone delivers audio again, after so many seconds."""

    away_s: float


class Health(Fact, frozen=True, kw_only=True, tag="health"):
    """A microphone's health has changed; reasons: one line each."""

    state: Literal["ok", "degraded", "deaf"]
    reasons: tuple[str, ...] = ()


class Playing(Fact, frozen=True, kw_only=True, tag="playback"):
    """The device begins to play audio, or has ended: wake words rest meanwhile."""

    on: bool


class AudioLostEvent(JsonEvent, frozen=True, kw_only=True, tag="audio_lost"):
    """Audio between two moments never arrived, or was dropped to catch up."""

    start_s: Moment
    end_s: Moment


class KeywordStuckEvent(JsonEvent, frozen=True, kw_only=True, tag="keyword_stuck"):
    """A keyword's score stays high; it is not detected again until the score falls."""

    keyword: str
    time_s: Moment


class VerifierFailedEvent(JsonEvent, frozen=True, kw_only=True, tag="verifier_failed"):
    """The verifier's call failed; meanwhile the first stage decides alone."""

    reason: str
    time_s: Moment


class DigitalSilenceEvent(JsonEvent, frozen=True, kw_only=True, tag="digital_silence"):
    """The microphone began, or ceased, to deliver nothing but zeros."""

    silent: bool
    time_s: Moment


class Summary(JsonEvent, frozen=True, kw_only=True, tag="summary"):
    """What `kws listen --json` writes to stderr in the end.

    gate_open: share of the time. lines_dropped: that nobody read in time. cpu_share: of one core.
    verifier: its counts; null without one.
    """

    heard_s: float
    gate_open: Share
    detections: int
    lost_s: float
    lines_dropped: int
    cpu_s: float
    cpu_share: float
    thresholds: dict[str, float]
    sensitivity: dict[str, float]
    verifier: dict[str, int] | None = None


class Keyword(msgspec.Struct, frozen=True):
    """A word that is listened for; role: `keyword` or `wake`; phrase: how it is spoken."""

    name: str
    role: str
    phrase: str


class Setup(JsonEvent, frozen=True, kw_only=True, tag="setup"):
    """What is listened for, and with what: /v1/live begins with it, and repeats it on a reload.

    version: of kws. recording: whether words' audio is kept.
    """

    version: str
    microphones: list[str]
    keywords: tuple[Keyword, ...]
    thresholds: dict[str, float]
    sensitivity: dict[str, float]
    recording: bool


class Glance(JsonEvent, frozen=True, kw_only=True, tag="live"):
    """A microphone's level and scores since the last of these; of /v1/live, ten a second.

    time_s: the audio clock. level_db: of the loudest block. at: the audio clock of each inference;
    scores: those of each armed keyword, as they were compared. Nothing is scored while the gate
    is closed.
    """

    microphone: str
    time_s: Moment
    level_db: Decibels
    gate_open: bool
    at: list[float]
    scores: dict[str, list[float]]


class Changed(JsonEvent, frozen=True, kw_only=True, tag="thresholds"):
    """Somebody has changed thresholds; these hold now. Of /v1/live."""

    thresholds: dict[str, float]
    sensitivity: dict[str, float]


FACTS: dict[str, type[Fact]] = {
    str(kind.__struct_config__.tag): kind for kind in (Heard, Lost, Returned, Health, Playing)
}
"""What the daemon tells its sinks, by its `type`."""

KINDS: tuple[type[JsonEvent], ...] = (
    *FACTS.values(),
    *(AudioLostEvent, KeywordStuckEvent, VerifierFailedEvent, DigitalSilenceEvent, Summary),
    *(Setup, Glance, Changed),
)
"""Every event that comes out anywhere."""

BY_TYPE = {str(kind.__struct_config__.tag): kind for kind in KINDS}


def detection_event(
    word: Detection,
    *,
    wall_time: float | None = None,
    microphone: str | None = None,
    audio: str | None = None,
    recording: str | None = None,
    recording_id: str | None = None,
) -> Heard:
    """Return a detection's JSON form. Scores are rounded to 4 digits, times to milliseconds.

    wall_time: where the detection has none of its own. The rest: see `Heard`.
    """
    when = wall_time if word.wall_time is None else word.wall_time
    return Heard(
        wall_time=None if when is None else round(when, 3),
        microphone=microphone,
        keyword=word.keyword,
        role="wake" if word.role == "wake" else "keyword",
        phrase=word.phrase or word.keyword,
        model=word.model,
        score=round(float(word.score), 4),
        threshold=round(float(word.threshold), 6),
        start_s=round(word.start_s, 3),
        end_s=round(word.end_s, 3),
        time_s=round(word.time_s, 3),
        level_db=round(float(word.level_db), 1),
        audio=audio,
        recording=recording,
        recording_id=recording_id,
    )


def as_json_event(event: Event, *, audio: str | None = None) -> JsonEvent | None:
    """Return an event's JSON form; None for those that have none: scores, the gate, captures.

    audio: the file that is read.
    """
    match event:
        case Detection():
            return detection_event(event, audio=audio)
        case AudioLost():
            return AudioLostEvent(start_s=round(event.start_s, 3), end_s=round(event.end_s, 3))
        case KeywordStuck():
            return KeywordStuckEvent(keyword=event.keyword, time_s=round(event.time_s, 3))
        case VerifierFailed():
            return VerifierFailedEvent(reason=event.reason, time_s=round(event.time_s, 3))
        case DigitalSilence():
            return DigitalSilenceEvent(silent=event.silent, time_s=round(event.time_s, 3))
    return None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all events (draft 2020-12), a definition for each `type`."""
    _, found = msgspec.json.schema_components(KINDS, ref_template="#/$defs/{name}")
    definitions = {name: found.pop(kind.__name__) for name, kind in BY_TYPE.items()}
    for definition in definitions.values():
        definition["required"] = sorted(definition["properties"])  # all are always given
        del definition["additionalProperties"]  # a later version may add some
        for field in definition["properties"].values():
            field.pop("default", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Events of kws",
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in definitions],
        "$defs": {**definitions, **found},
    }


if __name__ == "__main__":
    import json

    print(json.dumps(json_schema(), indent=1))
