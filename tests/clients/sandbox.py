"""A sandbox of its own for each test class: `autogit sandbox` on a free port, in a new directory."""

import os
import pathlib
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
AUTOGIT = os.environ.get("AUTOGIT", str(ROOT / "target/debug/autogit"))


class SandboxCase(unittest.TestCase):
    """Starts a sandbox before the first test of the class, and ends it after the last."""

    edition = "ce"

    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        data = cls.dir / "data"
        cls.server = subprocess.Popen(
            [AUTOGIT, "sandbox", "--listen", "127.0.0.1:0", "--edition", cls.edition, "--dir", data]
            + ["--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        cls.addClassCleanup(cls.stop)
        line = cls.server.stdout.readline()
        assert line, f"the sandbox ended before it listened: {cls.server.wait()}"
        cls.url = line.split()[-1].rstrip("/")
        cls.token = (data / "token").read_text().strip()

    @classmethod
    def stop(cls):
        cls.server.stdin.close()
        cls.server.wait(timeout=30)
        cls.server.stdout.close()

    def git(self, *args, cwd=None, check=True):
        """Runs git with no configuration but its own; never asks."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.dir),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_AUTHOR_NAME": "Alice",
            "GIT_AUTHOR_EMAIL": "alice@example.com",
            "GIT_COMMITTER_NAME": "Alice",
            "GIT_COMMITTER_EMAIL": "alice@example.com",
        }
        command = ["git", *map(str, args)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        if check:
            self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
        return done

    def clone_url(self, path, token):
        """The HTTP address of a repo, with a token as git takes it."""
        return self.url.replace("://", f"://oauth2:{token}@") + f"/{path}.git"
