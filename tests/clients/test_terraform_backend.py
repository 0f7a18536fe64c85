"""A client of Terraform's HTTP backend, as its documentation describes the protocol, with nothing but urllib."""

import base64
import json
import unittest
import urllib.error
import urllib.request
import uuid

from sandbox import SandboxCase


class Backend:
    """`backend "http"` with lock_method = POST and unlock_method = DELETE, as GitLab's documentation sets it up."""

    def __init__(self, address, username, password):
        self.address = address
        credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {credentials}"}

    def request(self, method, address, body=None):
        headers = {**self.headers, **({"Content-Type": "application/json"} if body is not None else {})}
        request = urllib.request.Request(address, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def state(self):
        """The state; None where there is none: 204 and 404 both say so."""
        status, body = self.request("GET", self.address)
        if status in (204, 404):
            return None
        assert status == 200, status
        return json.loads(body)

    def lock(self, who="alice@laptop"):
        """The id of a new lock; None while somebody else holds it."""
        info = {
            "ID": str(uuid.uuid4()),
            "Operation": "OperationTypeApply",
            "Info": "",
            "Who": who,
            "Version": "1.11.4",
            "Created": "2026-01-02T03:04:05.678901234Z",
            "Path": "",
        }
        status, body = self.request("POST", f"{self.address}/lock", json.dumps(info).encode())
        if status in (409, 423):
            self.holder = json.loads(body)
            return None
        assert status == 200, status
        return info["ID"]

    def write(self, state, lock=None):
        query = f"?ID={lock}" if lock else ""
        return self.request("POST", self.address + query, json.dumps(state).encode())[0]

    def unlock(self, lock=None):
        body = json.dumps({"ID": lock}).encode() if lock else None
        return self.request("DELETE", f"{self.address}/lock", body)[0]

    def delete(self):
        return self.request("DELETE", self.address)[0]


class TerraformBackend(SandboxCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.post("api/v4/projects", {"path": "infra", "initialize_with_readme": True})
        cls.post("api/v4/projects", {"path": "other", "initialize_with_readme": True})
        cls.job = cls.post("-/sandbox/jobs", {"project": "root/infra", "user": "root"})

    @classmethod
    def post(cls, path, body):
        headers = {"PRIVATE-TOKEN": cls.token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{cls.url}/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    def backend(self, name, username="root", password=None):
        address = f"{self.url}/api/v4/projects/root%2Finfra/terraform/state/{name}"
        return Backend(address, username, password or self.token)

    def test_a_run_locks_reads_writes_and_unlocks(self):
        backend = self.backend("run")
        self.assertIsNone(backend.state())
        lock = backend.lock()
        self.assertIsNone(backend.state())
        self.assertEqual(backend.write({"version": 4, "serial": 1, "lineage": "x"}, lock), 200)
        self.assertEqual(backend.unlock(lock), 200)
        self.assertEqual(backend.state(), {"version": 4, "serial": 1, "lineage": "x"})

    def test_a_second_run_waits_and_sees_who_holds_the_lock(self):
        first, second = self.backend("shared"), self.backend("shared")
        lock = first.lock()
        self.assertIsNone(second.lock(who="bob@desk"))
        self.assertEqual((second.holder["ID"], second.holder["Who"]), (lock, "root"))
        self.assertEqual(second.unlock("another"), 409)
        self.assertNotEqual(second.write({"serial": 1}), 200)
        self.assertEqual(first.write({"serial": 1}, lock), 200)
        self.assertEqual(first.unlock(lock), 200)
        self.assertIsNotNone(second.lock())

    def test_a_lock_that_was_taken_away_stops_the_next_write(self):
        first, second = self.backend("lost"), self.backend("lost")
        lock = first.lock()
        self.assertEqual(first.write({"serial": 1}, lock), 200)
        self.assertEqual(second.unlock(), 200)
        self.assertNotEqual(first.write({"serial": 2}, lock), 200)
        self.assertIsNotNone(second.lock())
        self.assertNotEqual(first.write({"serial": 2}, lock), 200)
        self.assertEqual(first.state(), {"serial": 1})

    def test_a_jobs_token_is_a_credential(self):
        backend = self.backend("ci", "gitlab-ci-token", self.job["token"])
        lock = backend.lock()
        self.assertEqual(backend.write({"serial": 1}, lock), 200)
        self.assertEqual(backend.unlock(lock), 200)
        self.assertEqual(backend.delete(), 200)
        stranger = self.backend("ci", "gitlab-ci-token", "glcbt-64_unknown")
        self.assertEqual(stranger.write({"serial": 2}), 401)

    def test_git_clones_with_a_jobs_token_and_does_not_push(self):
        address = self.url.replace("://", f"://gitlab-ci-token:{self.job['token']}@")
        copy = self.dir / "copy"
        self.git("clone", "-q", f"{address}/root/infra.git", copy)
        self.git("commit", "-q", "--allow-empty", "-m", "more", cwd=copy)
        refused = self.git("push", "-q", "origin", "HEAD:more", cwd=copy, check=False)
        self.assertIn("403", refused.stderr)
        other = self.git("clone", "-q", f"{address}/root/other.git", self.dir / "no", check=False)
        self.assertNotEqual(other.returncode, 0)


if __name__ == "__main__":
    unittest.main()
