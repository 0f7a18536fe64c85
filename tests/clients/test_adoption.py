"""A GitLab that grew by hand, made by python-gitlab and glab, is taken over by AutoGit, and nothing of it changes."""

import datetime
import json
import os
import shutil
import subprocess
import unittest
import urllib.request

import gitlab

from sandbox import AUTOGIT, SandboxCase

GLAB = os.environ.get("GLAB", "glab")

# What GitLab counts up by itself.
VOLATILE = {"last_activity_at", "updated_at", "last_used_at", "last_activity_on", "current_sign_in_at", "last_sign_in_at"}


class Adoption(SandboxCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gl = gitlab.Gitlab(cls.url, private_token=cls.token, retry_transient_errors=False)
        cls.gl.auth()
        cls.reader = cls.personal_token(cls.gl.users.get(cls.gl.user.id), ["read_api"])
        cls.people()
        cls.groups()
        cls.repos()
        cls.oddities()

    @classmethod
    def personal_token(cls, user, scopes, **more):
        return user.personal_access_tokens.create({"name": "test", "scopes": scopes, **more}).token

    @classmethod
    def people(cls):
        cls.users = {}
        for name in ("alice", "bob", "carol", "dave", "foreigner"):
            user = {"username": name, "name": name.title(), "email": f"{name}@example.com"}
            cls.users[name] = cls.gl.users.create({**user, "force_random_password": True})

    @classmethod
    def groups(cls):
        make = cls.gl.groups.create
        acme = make({"name": "ACME", "path": "acme", "visibility": "internal", "description": "Everything: all of it"})
        backend = make({"name": "Backend", "path": "backend", "parent_id": acme.id, "visibility": "private"})
        legacy = make({"name": "Legacy (old)", "path": "legacy", "parent_id": backend.id, "visibility": "private"})
        web = make({"name": "Web", "path": "web", "parent_id": acme.id, "project_creation_level": "maintainer"})
        crew = make({"name": "Crew", "path": "crew", "visibility": "private"})
        cls.tree = {"acme": acme, "backend": backend, "legacy": legacy, "web": web, "crew": crew}
        for group, name, level in [
            (acme, "alice", 50),
            (backend, "bob", 40),
            (legacy, "carol", 30),
            (web, "foreigner", 20),
            (crew, "dave", 50),
        ]:
            group.members.create({"user_id": cls.users[name].id, "access_level": level})
        soon = (datetime.date.today() + datetime.timedelta(days=20)).isoformat()
        backend.members.create({"user_id": cls.users["dave"].id, "access_level": 10, "expires_at": soon})

    @classmethod
    def repos(cls):
        cls.projects = {}
        homes = ["acme"] * 4 + ["backend"] * 16 + ["legacy"] * 6 + ["web"] * 10 + ["crew"] * 4
        for number, home in enumerate(homes):
            odd = number % 7 == 3
            project = cls.gl.projects.create(
                {
                    "name": f"Repo {number}",
                    "path": f"repo-{number}",
                    "namespace_id": cls.tree[home].id,
                    "description": f"Number {number}: \"quoted\", # and all" if odd else f"Service {number}",
                    "initialize_with_readme": number % 5 != 0,
                    "visibility": "private",
                    "merge_method": "merge" if odd else "ff",
                    "topics": ["service", f"t{number % 3}"] if number % 4 else [],
                    "only_allow_merge_if_pipeline_succeeds": not odd,
                    "squash_option": ["default_off", "always", "never"][number % 3] if odd else "default_off",
                    "wiki_access_level": "disabled",
                }
            )
            if number % 5:
                project.protectedbranches.create(
                    {"name": "release/*", "push_access_level": 40, "merge_access_level": 30 if odd else 40}
                )
            for key in range(4 if number < 37 else 1):
                project.variables.create(
                    {
                        "key": f"KEY_{key}",
                        "value": f"canary-value-{number}-{key}",
                        "masked": key == 0,
                        "protected": key == 1,
                        "environment_scope": "production" if key == 2 else "*",
                        "raw": key == 3,
                    }
                )
            if number % 6 == 0:
                project.members.create({"user_id": cls.users["carol"].id, "access_level": 30})
            cls.projects[f"{cls.tree[home].full_path}/repo-{number}"] = project

    @classmethod
    def oddities(cls):
        """Archived, forked, pending deletion, secrets and tokens of every sort."""
        of = lambda number: next(repo for path, repo in cls.projects.items() if path.endswith(f"/repo-{number}"))
        of(9).archive()
        of(21).archive()
        cls.gl.projects.get(of(6).id).forks.create({"namespace_id": cls.tree["crew"].id, "path": "forked", "name": "Forked"})
        doomed = cls.gl.projects.create({"name": "Doomed", "path": "doomed", "namespace_id": cls.tree["web"].id})
        cls.gl.projects.delete(doomed.id)
        cls.tree["acme"].variables.create({"key": "GROUP_KEY", "value": "canary-group", "masked": True})
        cls.gl.variables.create({"key": "INSTANCE_KEY", "value": "canary-instance"})
        of(11).variables.create(
            {"key": "HIDDEN", "value": "canary-hidden-1", "masked_and_hidden": True, "masked": True}
        )
        month = (datetime.date.today() + datetime.timedelta(days=30)).isoformat()
        of(12).access_tokens.create({"name": "bot", "scopes": ["read_api"], "access_level": 30, "expires_at": month})
        # Members by way of a share are nobody's own.
        cls.tree["web"].share(cls.tree["crew"].id, 30)
        cls.glab("repo", "create", "by-glab", "-g", "crew", "--private", "-d", "Made by glab")

    @classmethod
    def glab(cls, *args):
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(cls.dir),
            "GLAB_CONFIG_DIR": str(cls.dir / "glab"),
            "GITLAB_HOST": cls.url,
            "GITLAB_TOKEN": cls.token,
            "NO_PROMPT": "1",
        }
        subprocess.run(["git", "init", "-q", cls.dir], check=True)
        host = cls.url.removeprefix("http://")
        for key in ("api_protocol", "git_protocol"):
            subprocess.run([GLAB, "config", "set", "-g", key, "http", "--host", host], cwd=cls.dir, env=environment, check=True)
        done = subprocess.run([GLAB, *args], cwd=cls.dir, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def autogit(self, *args, code=0, token=None, cwd=None):
        environment = {"PATH": os.environ["PATH"], "AUTOGIT_TOKEN": token or self.reader}
        command = [AUTOGIT, *map(str, args)]
        done = subprocess.run(command, cwd=cwd or self.dir, env=environment, capture_output=True, text=True)
        self.assertEqual(done.returncode, code, f"{command}:\n{done.stdout}\n{done.stderr}")
        self.assertNotIn("canary", done.stdout + done.stderr)
        return done

    def export(self, name, *args):
        folder = self.dir / name
        shutil.rmtree(folder, ignore_errors=True)
        endpoint = ("--url", self.url, "--token-env", "AUTOGIT_TOKEN")
        self.autogit("export", *endpoint, "--group", "acme", "--group", "crew", "--out", folder, *args)
        for path in folder.rglob("*"):
            if path.is_file():
                self.assertNotIn("canary", path.read_text(), path)
        return folder

    def writes(self):
        request = urllib.request.Request(f"{self.url}/-/sandbox/counters", headers={"PRIVATE-TOKEN": self.token})
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read())["writes"]

    def view(self):
        """All of it, as python-gitlab sees it."""

        def plain(thing):
            return {name: value for name, value in thing.asdict().items() if name not in VOLATILE}

        def each(manager):
            things = [plain(thing) for thing in manager.list(get_all=True)]
            return sorted(things, key=lambda thing: json.dumps(thing, sort_keys=True))

        seen = {}
        for listed in self.gl.groups.list(get_all=True):
            group = self.gl.groups.get(listed.id, with_projects=False)
            parts = {"members": each(group.members), "variables": each(group.variables)}
            seen[group.full_path] = plain(group) | {"parts": parts}
        for listed in self.gl.projects.list(get_all=True):
            repo = self.gl.projects.get(listed.id)
            parts = {"members": each(repo.members), "variables": each(repo.variables), "rules": each(repo.protectedbranches)}
            seen[repo.path_with_namespace] = plain(repo) | {"parts": parts}
        seen["variables"] = each(self.gl.variables)
        return seen

    def lines(self, folder):
        return sum(len(path.read_text().splitlines()) for path in folder.rglob("*.yaml"))

    def test_the_doctor_tells_the_truth(self):
        endpoint = ("--url", self.url, "--token-env", "AUTOGIT_TOKEN", "--format", "json")
        judged = json.loads(self.autogit("doctor", *endpoint, token=self.token).stdout)
        kinds = {kind["kind"]: kind for kind in judged["kinds"]}
        self.assertTrue(all(kind["read"]["answer"] == kind["write"]["answer"] == "yes" for kind in kinds.values()), kinds)
        judged = json.loads(self.autogit("doctor", *endpoint).stdout)
        self.assertTrue(all(kind["write"]["answer"] == "no" for kind in judged["kinds"]), judged["kinds"])
        alice = self.personal_token(self.users["alice"], ["api"])
        judged = json.loads(self.autogit("doctor", *endpoint, token=alice).stdout)
        kinds = {kind["kind"]: kind for kind in judged["kinds"]}
        self.assertEqual(kinds["instance_variable"]["read"]["answer"], "no")
        self.assertNotEqual(kinds["repo"]["write"]["answer"], "no")
        self.assertIn("token", self.autogit("doctor", *endpoint, token="glpat-never-heard-of", code=1).stdout)
        dead = self.users["bob"].personal_access_tokens.create({"name": "dead", "scopes": ["api"]})
        self.gl.personal_access_tokens.delete(dead.id)
        self.assertIn("revoked", self.autogit("doctor", *endpoint, token=dead.token, code=1).stdout)

    def test_what_is_exported_differs_in_nothing(self):
        before, writes = self.view(), self.writes()
        folder = self.export("plain")
        again = self.export("plain-again")
        self.assertEqual((folder / "autogit.yaml").read_bytes(), (again / "autogit.yaml").read_bytes())
        self.assertIn("No changes", self.autogit("plan", "--detailed-exitcode", cwd=folder).stdout)
        # Taking it over, too, needs no right to change anything.
        self.autogit("apply", "--yes", cwd=folder)
        self.assertIn("No changes", self.autogit("plan", "--detailed-exitcode", cwd=folder).stdout)
        self.assertEqual(self.writes(), writes)
        self.assertEqual(self.view(), before)

    def test_what_repos_share_is_said_once(self):
        plain, factored = self.export("long"), self.export("short", "--factor")
        self.assertLessEqual(self.lines(factored) * 3, self.lines(plain))
        self.assertIn("No changes", self.autogit("plan", "--detailed-exitcode", cwd=factored).stdout)
        split = self.export("split", "--factor", "--split-by", "group")
        self.assertGreater(len(list(split.rglob("*.yaml"))), 4)
        self.assertIn("No changes", self.autogit("plan", "--detailed-exitcode", cwd=split).stdout)

    def test_one_rule_changes_just_the_repos_it_is_for(self):
        folder = self.export("rule", "--factor")
        self.autogit("apply", "--yes", cwd=folder)
        config = folder / "autogit.yaml"
        config.write_text(config.read_text() + "\ninclude: [one-rule.yaml]\n")
        (folder / "one-rule.yaml").write_text(
            "rules:\n  one-way: {match: {path: acme/backend/**, archived: false}, locked: {squash_option: always}}\n"
        )
        live = {repo.path_with_namespace: repo for repo in self.gl.projects.list(get_all=True)}
        expected = {
            f"repo.{path}"
            for path, repo in live.items()
            if path.startswith("acme/backend/") and not repo.archived and repo.squash_option != "always"
        }
        self.assertGreater(len(expected), 10)
        plan = json.loads(self.autogit("plan", "--format", "json", cwd=folder).stdout)
        self.assertEqual({step["address"] for step in plan["steps"]}, expected)
        before = self.view()
        self.autogit("apply", "--yes", cwd=folder, token=self.token)
        after = self.view()
        changed = {f"repo.{path}" for path in before if before[path] != after[path]}
        self.assertEqual(changed, expected)
        for path in changed:
            old, new = before[path.removeprefix("repo.")], after[path.removeprefix("repo.")]
            self.assertEqual({name for name in old if old[name] != new[name]}, {"squash_option"})


class EnterpriseAdoption(Adoption):
    edition = "ee"


if __name__ == "__main__":
    unittest.main()
