"""The command line: thin, one file a command; torch is imported inside the commands only, so that help is quick."""

from cleanfit.cli.app import main

__all__ = ["main"]
