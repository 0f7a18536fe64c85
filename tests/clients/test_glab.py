"""What GitLab's own command line can do with a GitLab, it can do with the sandbox. `GLAB` names the program."""

import json
import os
import subprocess
import unittest

from sandbox import SandboxCase

GLAB = os.environ.get("GLAB", "glab")


class Glab(SandboxCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        host = cls.url.removeprefix("http://")
        cls.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(cls.dir),
            "GLAB_CONFIG_DIR": str(cls.dir / "glab"),
            "GITLAB_HOST": cls.url,
            "GITLAB_TOKEN": cls.token,
            "NO_PROMPT": "1",
            "NO_COLOR": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }
        # Where it finds no repository, `glab repo create` asks whether to make one.
        subprocess.run(["git", "init", "-q", cls.dir], check=True)
        cls.run_glab("config", "set", "-g", "api_protocol", "http", "--host", host)
        cls.run_glab("config", "set", "-g", "git_protocol", "http", "--host", host)

    @classmethod
    def run_glab(cls, *args):
        return subprocess.run(
            [GLAB, *args], cwd=cls.dir, env=cls.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def glab(self, *args):
        done = self.run_glab(*args)
        self.assertEqual(done.returncode, 0, f"glab {args}: {done.stdout}{done.stderr}")
        return done.stdout

    def api(self, path, *args):
        return json.loads(self.glab("api", path, *args) or "null")

    def test_a_repo_is_created_viewed_listed_and_deleted(self):
        self.api("groups", "-f", "name=team", "-f", "path=team", "-f", "visibility=private")
        self.glab("repo", "create", "app", "-g", "team", "--private", "--readme", "-d", "An app")
        live = self.api("projects/team%2Fapp")
        self.assertEqual((live["visibility"], live["description"]), ("private", "An app"))
        self.assertIn("An app", self.glab("repo", "view", "team/app"))
        self.assertIn("team/app", self.glab("repo", "list", "--all"))
        self.glab("repo", "delete", "team/app", "--yes")
        self.assertIsNotNone(self.api("projects/team%2Fapp")["marked_for_deletion_on"])

    def test_a_branch_protection_is_created_changed_and_deleted(self):
        project = self.api("projects", "-f", "name=rules", "-F", "initialize_with_readme=true")
        rules = f"projects/{project['id']}/protected_branches"
        made = self.api(rules, "-f", "name=release/*", "-F", "push_access_level=0")
        self.assertEqual(made["push_access_levels"][0]["access_level"], 0)
        changed = self.api(f"{rules}/release%2F*", "-X", "PATCH", "-F", "allow_force_push=true")
        self.assertTrue(changed["allow_force_push"])
        self.assertIn("release/*", [rule["name"] for rule in self.api(rules)])
        self.glab("api", f"{rules}/release%2F*", "-X", "DELETE")
        self.assertNotIn("release/*", [rule["name"] for rule in self.api(rules)])

    def test_a_merge_request_is_opened_commented_and_merged(self):
        project = self.api("projects", "-f", "name=offers", "-F", "initialize_with_readme=true")
        files = f"projects/{project['id']}/repository/files/new"
        self.api(files, "-f", "branch=new", "-f", "start_branch=main", "-f", "content=x", "-f", "commit_message=New")
        repo = ("-R", "root/offers")
        # `glab mr create` wants a clone with a remote.
        requests = f"projects/{project['id']}/merge_requests"
        self.api(requests, "-f", "source_branch=new", "-f", "target_branch=main", "-f", "title=A new file")
        self.assertIn("A new file", self.glab("mr", "list", *repo))
        self.glab("mr", "note", "1", *repo, "-m", "Looks good")
        self.assertIn("Looks good", self.glab("mr", "view", "1", *repo, "--comments"))
        self.glab("mr", "merge", "1", *repo, "--yes")
        self.assertEqual(self.api(f"{requests}/1")["state"], "merged")

    def test_every_page_of_a_list(self):
        for number in range(5):
            self.api("groups", "-f", f"name=many{number}", "-f", f"path=many{number}")
        pages = self.glab("api", "groups?per_page=2", "--paginate")
        # One JSON list a page, one after the other.
        decoder, paths = json.JSONDecoder(), set()
        while pages.strip():
            page, end = decoder.raw_decode(pages.lstrip())
            pages = pages.lstrip()[end:]
            paths |= {group["path"] for group in page}
        self.assertLessEqual({f"many{number}" for number in range(5)}, paths)

    def test_graphql(self):
        answer = self.api("graphql", "-f", "query={ currentUser { username } }")
        self.assertEqual(answer["data"]["currentUser"]["username"], "root")

    def test_a_refusal_says_why(self):
        refused = self.run_glab("api", "projects/no%2Fsuch")
        self.assertIn("404 Project Not Found", refused.stderr)


if __name__ == "__main__":
    unittest.main()
