"""Desktop: a notification for each fact.

By notify-send on Linux; by osascript on macOS and a toast of PowerShell on Windows, which are
not measured: nobody has run them yet.
"""

from __future__ import annotations

import html
import os
import shutil
import sys
from typing import Annotated, ClassVar, Literal

import msgspec

from kws.errors import ConfigError
from kws.origin import Strict
from kws.programs import Program
from kws.sinks import Around, Fact, Health, Heard, Lost, Playing, Returned

PATIENCE_S = 10.0
"""So long the program may take to hand over a notification."""

SOURCES = {
    "notify-send": "apt install libnotify-bin",
    "osascript": "it comes with macOS",
    "powershell": "it comes with Windows",
}

APPLE = """\
on run words
    display notification (item 1 of words) with title "kws"
end run"""

# The text comes by the environment and becomes a text node: neither script nor XML.
WINDOWS = r"""
$ErrorActionPreference = 'Stop'
$space = 'Windows.UI.Notifications'
[Windows.UI.Notifications.ToastNotificationManager, $space, ContentType = WindowsRuntime] | Out-Null
$kind = [Windows.UI.Notifications.ToastTemplateType]::ToastText02
$toast = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent($kind)
$texts = $toast.GetElementsByTagName('text')
$texts.Item(0).AppendChild($toast.CreateTextNode('kws')) | Out-Null
$texts.Item(1).AppendChild($toast.CreateTextNode($env:KWS_TEXT)) | Out-Null
$who = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\WindowsPowerShell\v1.0\powershell.exe'
$shown = [Windows.UI.Notifications.ToastNotification]::new($toast)
[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($who).Show($shown)
"""


class Settings(Strict, frozen=True):
    """timeout_s: how long it is shown; both are heeded on Linux only, and not by all desktops."""

    urgency: Literal["low", "normal", "critical"] = "normal"
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 5.0


class Sink:
    """Shows facts. Raises ConfigError: the program that shows notifications is missing."""

    wants: ClassVar[frozenset[type[Fact]]] = frozenset({Heard})

    def __init__(self, settings: Settings, around: Around) -> None:
        self._settings = settings
        self._name = command(sys.platform, settings, "")[0]
        if shutil.which(self._name) is None:
            raise ConfigError(f"desktop: {self._name} is not there; {SOURCES[self._name]}")
        self._program = Program()

    def start(self) -> None:
        """Nothing: a program is started for each fact."""

    def send(self, fact: Fact, /) -> None:
        """Show it. Raises SinkError: there is no desktop, or it does not take it."""
        text = said(fact)
        line = command(sys.platform, self._settings, text)
        env = {**os.environ, "KWS_TEXT": text}
        self._program.run(line, PATIENCE_S, env).check(self._name)

    def close(self) -> None:
        """End a program that is still running; from any thread."""
        self._program.stop()


def command(platform: str, settings: Settings, text: str) -> list[str]:
    """Return the program that shows a text, and its arguments."""
    if platform == "darwin":
        return ["osascript", "-e", APPLE, text]
    if platform == "win32":
        return ["powershell", "-NoProfile", "-NonInteractive", "-Command", WINDOWS]
    # notify-send takes \n and the like for what they are in C, the desktop takes <b> for bold.
    plain = html.escape(text, quote=False).replace("\\", "\\\\")
    shown = [f"--urgency={settings.urgency}", f"--expire-time={settings.timeout_s * 1000:.0f}"]
    return ["notify-send", "--app-name=kws", *shown, "--", "kws", plain]


def said(fact: Fact) -> str:
    """Return a fact as one line for people; it begins with a word of ours, never with a dash."""
    match fact:
        case Heard():
            text = f"heard {fact.keyword} ({fact.score:.2f})"
        case Lost():
            text = f"hears nothing any more: {fact.reason}"
        case Returned():
            text = f"hears again, after {fact.away_s:.0f} s"
        case Health():
            text = f"hearing is {fact.state}: {'; '.join(fact.reasons)}".removesuffix(": ")
        case Playing():
            text = "playback begins" if fact.on else "playback has ended"
        case _:
            text = f"told: {type(fact).__name__}"
    text += f", {fact.microphone}" if fact.microphone else ""
    return "".join(c if c.isprintable() else " " for c in text)
