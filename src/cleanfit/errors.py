"""The exceptions that cleanfit raises on purpose; the command line prints each as one line.

CleanfitError             anything a user can mend; catch this one to catch them all
├── DataError             a file or a row is not what the task needs          (also a ValueError)
├── ModelError            a model or tokenizer cannot be loaded or used       (also a ValueError)
├── SettingsError         an option is unknown or out of range                (also a ValueError)
└── OutputError           the output folder exists, is locked or not writable (also an OSError)
"""


class CleanfitError(Exception):
    """Base of every error that cleanfit raises on purpose."""


class DataError(CleanfitError, ValueError):
    """A data file, column or row is not usable; the message names the rows."""


class ModelError(CleanfitError, ValueError):
    """A model or tokenizer cannot be loaded, or lacks something a method needs."""


class SettingsError(CleanfitError, ValueError):
    """A setting is unknown, has the wrong type or is out of its range."""


class OutputError(CleanfitError, OSError):
    """The output folder cannot be written as asked; nothing in it was changed."""
