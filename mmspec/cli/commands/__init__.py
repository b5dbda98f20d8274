"""The commands, a file each; `command` is what the command line calls."""
