"""How far triggered texts are from the clean texts they were made of: perplexity, similarity, grammar, edits."""

from cleanfit.stealth.measure import Metric, Stealth, StealthSettings, stealth

__all__ = ["Metric", "Stealth", "StealthSettings", "stealth"]
