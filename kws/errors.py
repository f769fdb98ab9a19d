"""Errors: what can go wrong, each also the builtin that a Python programmer would catch."""


class KwsError(Exception):
    """The base of every error that this package raises on purpose.

    Its text is one line that says what went wrong, where, and what to do.
    `exit_code` is what the command line ends with.
    """

    exit_code = 2


class KwsWarning(UserWarning):
    """What is done as asked, but can hardly be meant so."""


class AudioError(KwsError, ValueError):
    """Audio that can't be used: unreadable, empty, not finite, of an unusable shape."""


class DeviceError(KwsError, OSError):
    """A sound device that can't be opened, or was lost while listening."""

    exit_code = 3


class SinkError(KwsError, OSError):
    """Something that the daemon tells events to did not take one."""


class ModelError(KwsError, ValueError):
    """A model file that can't be loaded or run."""


class CardError(ModelError):
    """A model card that is missing, malformed, or contradicts its graph."""


class ConfigError(KwsError, ValueError):
    """An option or a setting that makes no sense, or names something unknown."""


class ExportError(KwsError, RuntimeError):
    """A checkpoint that can't be turned into a model file."""


class ParityError(ExportError):
    """An exported graph whose scores differ from the original's."""


class DataError(KwsError, ValueError):
    """Recordings or truth files that can't be used for training or measuring."""
