"""Speech without a speaker: phrases, what is easily taken for them, and a little background."""

from export.synthesis.background import sentences, speech
from export.synthesis.nearmisses import holding, near_misses, sounding_like
from export.synthesis.pronunciation import pronounces
from export.synthesis.renderings import said
from export.synthesis.speaking import RATE, Samples, say
from export.synthesis.voices import CAST, Voice, installed

__all__ = [
    "CAST",
    "RATE",
    "Samples",
    "Voice",
    "holding",
    "installed",
    "near_misses",
    "pronounces",
    "said",
    "say",
    "sentences",
    "sounding_like",
    "speech",
]
