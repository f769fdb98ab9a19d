"""MQTT: facts on the topics of a broker, where Home Assistant finds them by itself."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from kws.errors import ConfigError, SinkError
from kws.files import read_regular
from kws.home import expanded
from kws.install_hint import install_hint
from kws.sinks import FACTS, Around, Fact, Heard
from kws.sinks.mqtt.settings import Settings, check, exposed, password
from kws.sinks.mqtt.topics import discovery, learn, slug, triggers

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessage, MQTTMessageInfo

__all__ = ["Settings", "Sink"]

CONNECT_S, ACK_S, CLOSING_S = 6.0, 5.0, 0.2
"""So long a connection, an acknowledgement, and that of the last message are waited for."""
KEEPALIVE_S = SLOWEST_S = 30
"""The latter: between two tries to connect, at most."""


class Sink:
    """Publishes facts, and can be told that the own speaker talks.

    Under `topic/id` lie `availability`, online or offline, the latter also where we die; `event`,
    each Heard as JSON, its keyword as `event_type`; `trigger/KEYWORD`, one topic each; `state`,
    what was last told of playback and microphones; `playback/set`, which takes on and off.

    Nothing heard is told late: what the broker does not take at once is lost, SinkError says so.
    The state is kept, and published when the broker is back.

    Raises ConfigError: paho-mqtt is missing, or the settings make no sense.
    """

    wants: ClassVar[frozenset[type[Fact]]] = frozenset(FACTS.values())

    def __init__(self, settings: Settings, around: Around) -> None:
        check(settings)
        for line in exposed(settings, around.config):
            around.log("warning", f"mqtt: {line}")
        self._settings, self._around = settings, around
        self._id = settings.id or slug(socket.gethostname() or "kws")
        self._port = settings.port or (8883 if settings.tls else 1883)
        self._where = f"mqtt {settings.host}:{self._port}"
        self._state: dict[str, Any] = {"playback": False, "microphones": defaultdict(dict)}
        self._changing = threading.Lock()  # of the state, and whether it can be published
        self._connected, self._answered = threading.Event(), threading.Event()
        self._trouble, self._closing = f"{self._where}: does not answer", False
        self._known = dict(discovery(settings, self._id, around.keywords))
        self._leaving: list[str] = []
        # Always the same name: the broker then ends what is left of an older connection, and does
        # not publish its last will after the newer one has come online.
        self._client = self._made(f"kws-{self._id}")
        topic = f"{settings.topic}/{self._id}/availability"
        self._client.will_set(topic, "offline", settings.qos, retain=True)
        self._client.reconnect_delay_set(1, SLOWEST_S)
        self._client.on_pre_connect, self._client.on_connect = (
            self._on_pre_connect,
            self._on_connect,
        )
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect, self._client.on_message = self._on_disconnect, self._on_message

    def start(self) -> None:
        """Connect. Raises SinkError: not now; it goes on trying."""
        self._client.connect_async(self._settings.host, self._port, KEEPALIVE_S)
        self._client.loop_start()
        self._answered.wait(CONNECT_S)
        self._answered.set()
        if not self._connected.is_set():
            raise SinkError(self._trouble)

    def send(self, fact: Fact, /) -> None:
        """Publish it. Raises SinkError: it was heard, and the broker did not take it."""
        if isinstance(fact, Heard):
            if not self._connected.is_set():
                raise SinkError(self._trouble)
            event = {"event_type": fact.keyword, **msgspec.to_builtins(fact)}
            sent = [self._publish("event", event)]
            self._wait([*sent, self._publish(f"trigger/{slug(fact.keyword)}", "heard")], ACK_S)
            return
        with self._changing:
            learn(self._state, fact)
            if self._connected.is_set():
                self._publish("state", self._state, retain=True)

    def withdraw(self, others: Sequence[object], /) -> None:
        """Take away at `close` what is retained, but for what these sinks retain too."""
        stays = [each.retained for each in others if isinstance(each, Sink)]
        self._leaving = [topic for _, topic in sorted(self.retained.difference(*stays))]

    @property
    def retained(self) -> set[tuple[str, str]]:
        """The topics on which something of ours stays, each with its broker."""
        base = f"{self._settings.topic}/{self._id}"
        topics = (*self._known, f"{base}/state", f"{base}/availability")
        return {(self._where, topic) for topic in topics}

    def close(self) -> None:
        """Say that we are offline, and leave."""
        self._closing = True
        if self._connected.is_set():
            with suppress(SinkError):
                sent = [self._publish("availability", "offline", retain=True)]
                sent += [self._clear(topic) for topic in self._leaving]
                self._wait(sent, CLOSING_S)
        self._client.disconnect()  # ends its thread too, which is not waited for

    def probe(self) -> None:
        """Log in beside the one that may be running, and leave. Raises SinkError: it can't."""
        client, answered = self._made(f"kws-{self._id}-check"), threading.Event()
        failed: list[Any] = []

        def on_connect(_c: Client, _d: Any, _f: Any, reason: Any, _p: Any) -> None:
            failed[:] = [reason] if reason.is_failure else []
            answered.set()

        client.on_connect = on_connect
        try:
            client.connect(self._settings.host, self._port, KEEPALIVE_S)
            client.loop_start()
            if not answered.wait(CONNECT_S):
                raise SinkError(f"{self._where}: does not answer")
        except OSError as error:
            reason = error.strerror or error
            raise SinkError(f"{self._where}: can't be reached ({reason})") from None
        finally:
            client.disconnect()
            client.loop_stop()
        if failed:
            raise SinkError(self._refused(failed[0]))

    def _refused(self, reason: Any) -> str:
        return f"{self._where}: refuses us ({reason}); check username, password, id"

    def _made(self, name: str) -> Client:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion

            _ = Client.drop_out_messages  # since 2.2
        except (ImportError, AttributeError):
            raise ConfigError(f"mqtt needs paho-mqtt 2.2; {install_hint('serve')}") from None
        given = self._settings
        client = Client(CallbackAPIVersion.VERSION2, client_id=name)
        client.username_pw_set(given.username, password(given))
        if given.tls:
            try:
                if given.ca_file is not None:
                    read_regular(expanded(given.ca_file))  # TLS itself would wait for a pipe
                client.tls_set(ca_certs=given.ca_file and str(expanded(given.ca_file)))
            except OSError as error:
                reason = error.strerror or error
                raise ConfigError(f"mqtt: ca_file {given.ca_file} is no use ({reason})") from None
        return client

    def _on_pre_connect(self, client: Client, _data: Any) -> None:
        # It would publish what was not acknowledged, however old, and we said that it is lost.
        client.drop_out_messages()

    def _on_connect(self, client: Client, _data: Any, _flags: Any, reason: Any, _: Any) -> None:
        if reason.is_failure:
            self._tell(self._refused(reason))
            return
        if self._closing:  # in the middle of this
            client.disconnect()
            return
        given = self._settings
        client.subscribe(f"{given.topic}/{self._id}/playback/set", given.qos)
        for topic, config in self._known.items():
            client.publish(topic, msgspec.json.encode(config), given.qos, retain=True)
        if given.discovery:  # what was published before the config changed comes from there
            client.subscribe(triggers(given, self._id, "+"), given.qos)
        with self._changing:
            self._publish("state", self._state, retain=True)
            self._publish("availability", "online", retain=True)
            self._connected.set()
        self._tell("")

    def _on_connect_fail(self, client: Client, _data: Any) -> None:
        if self._closing:
            client.disconnect()
        error = sys.exc_info()[1]  # we aren't told, but are called where it is being caught
        reason = getattr(error, "strerror", None) or error
        self._tell(f"{self._where}: can't be reached ({reason}); going on trying")

    def _on_disconnect(self, _client: Client, _data: Any, *_: Any) -> None:
        if self._connected.is_set():
            self._connected.clear()
            self._tell(f"{self._where}: connection lost; going on trying")

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        said, log = bytes(message.payload).strip().lower(), self._around.log
        if not message.topic.endswith("/playback/set"):
            if said and message.topic not in self._known:
                self._clear(message.topic)  # a trigger of a word that is no longer listened for
        elif message.retain:
            log("warning", f"{message.topic}: ignored, it was retained and may be old")
        elif said not in (b"on", b"off"):
            log("warning", f"{message.topic}: takes on and off, not {said[:40]!r}")
        else:
            try:
                self._around.playback(said == b"on")
            except Exception as error:  # noqa: BLE001 - it would end paho's thread, for good
                log("warning", f"{message.topic}: {error}")

    def _tell(self, trouble: str) -> None:
        """Say what is wrong, or that all is well again; once, and the first time by `start`."""
        if self._answered.is_set() and trouble != self._trouble and not self._closing:
            line = trouble or f"{self._where}: connected"
            self._around.log("warning" if trouble else "info", line)
        self._trouble = trouble
        self._answered.set()

    def _publish(self, topic: str, what: Any, *, retain: bool = False) -> MQTTMessageInfo:
        payload = what if isinstance(what, str) else msgspec.json.encode(what)
        topic = f"{self._settings.topic}/{self._id}/{topic}"
        return self._client.publish(topic, payload, self._settings.qos, retain)

    def _clear(self, topic: str) -> MQTTMessageInfo:
        """Take away what is retained on a topic."""
        return self._client.publish(topic, b"", self._settings.qos, retain=True)

    def _wait(self, sent: list[MQTTMessageInfo], patience_s: float) -> None:
        """Wait until all are acknowledged. Raises SinkError: they are not."""
        end = time.monotonic() + patience_s
        with suppress(RuntimeError, ValueError):  # of paho, where the network is gone
            for info in sent:
                while not info.is_published() and self._connected.is_set():
                    if time.monotonic() > end:
                        raise SinkError(f"{self._where}: does not acknowledge")
                    info.wait_for_publish(CLOSING_S)
            if all(info.is_published() for info in sent):
                return
        raise SinkError(self._trouble or f"{self._where}: connection lost")
