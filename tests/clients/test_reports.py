"""The reports for GitLab's widgets, read by a parser that AutoGit did not write."""

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree

import gitlab
from sandbox import AUTOGIT, SandboxCase

HOSTILE = 'a "quoted" <tag> & ]]> \\u001b[31m'

CONFIG = """\
autogit: 1
gitlab: {url: %s, token: {env: AUTOGIT_TOKEN}}
groups: {team: {description: %s, visibility: public}}
repos:
  team/api: {description: New}
  team/old: {absent: true}
"""


class Reports(SandboxCase):
    def test_both_are_what_gitlab_parses(self):
        live = gitlab.Gitlab(self.url, private_token=self.token)
        team = live.groups.create({"name": "team", "path": "team", "visibility": "private"})
        live.projects.create({"name": "old", "namespace_id": team.id})
        (self.dir / "autogit.yaml").write_text(CONFIG % (self.url, json.dumps(HOSTILE.encode().decode("unicode_escape"))))
        reports = ["--terraform-report", "terraform.json", "--junit-report", "junit.xml"]
        environment = {"PATH": os.environ["PATH"], "AUTOGIT_TOKEN": self.token}
        done = subprocess.run(
            [AUTOGIT, "plan", *reports], cwd=self.dir, env=environment, capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        counts = json.loads((self.dir / "terraform.json").read_text())
        self.assertEqual(counts, {"create": 1, "update": 1, "delete": 1})
        root = ElementTree.parse(self.dir / "junit.xml").getroot()
        self.assertEqual((root.tag, root.get("tests"), root.get("failures")), ("testsuites", "3", "2"))
        cases = {case.get("name"): case for case in root.iter("testcase")}
        self.assertIsNone(cases["create repo.team/api"].find("failure"))
        self.assertIn("destroys", cases["delete repo.team/old"].find("failure").get("message"))
        self.assertIn("exposes: visibility", cases["adopt group.team"].find("failure").text)
