"""The command line: reads what was typed, calls the library, prints. The only room that prints.

A command is imported when it is called, and what it needs when it needs it, so that `mmspec validate` does not wait for torch.
"""

from mmspec.cli.entry import main

__all__ = ["main"]
