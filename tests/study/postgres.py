"""A real PostgreSQL for tests: a cluster of its own in a folder, reached by a port of 127.0.0.1, stopped at the end."""

import os
import shutil
import socket
import subprocess
from contextlib import contextmanager
from glob import glob
from pathlib import Path

WHERE = "install it (Debian: apt-get install postgresql; macOS: brew install postgresql)"


def programs():
    """The folder of initdb and pg_ctl, or None."""
    found = shutil.which("initdb")
    return (
        Path(found).parent
        if found
        else next((Path(p) for p in sorted(glob("/usr/lib/postgresql/*/bin"), reverse=True)), None)
    )


class Server:
    def __init__(self, folder):
        self.folder, self.programs = Path(folder), programs()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it refuses to run as root
        if self.as_user:
            shutil.chown(self.folder, "postgres")
        self.data = self.folder / "data"
        self.call("initdb", "-D", self.data, "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
        (self.data / "postgresql.conf").open("a").write(
            f"\nlisten_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = ''\nfsync = off\n"
        )

    def call(self, program, *arguments):
        command = [*self.as_user, self.programs / program, *map(str, arguments)]
        with (self.folder.parent / "postgres.said").open("w+") as said:
            if subprocess.run(command, stdout=said, stderr=said, cwd="/").returncode:
                said.seek(0)
                raise RuntimeError(said.read())

    def start(self):
        self.call("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "start")

    def stop(self):
        self.call("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    @property
    def url(self):
        return f"postgresql://tester:secret@127.0.0.1:{self.port}/postgres"


@contextmanager
def server(folder):
    running = Server(folder)
    running.start()
    try:
        yield running
    finally:
        running.stop()
