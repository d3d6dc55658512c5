"""The command line. `main` runs it; heavy imports happen inside the commands."""

from adapterbot.cli.app import app, main

__all__ = ["app", "main"]
