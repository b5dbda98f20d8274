"""What can go wrong, by whose hand it can be mended."""


class UserError(Exception):
    """The user's to mend: a spec, data, a path, a limit. The message is one line or one screen; the command exits 2."""


class Failure(Exception):
    """Ours, or the machine's: a failed verification, a full disk. The command exits 1."""
