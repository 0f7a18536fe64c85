"""What python-gitlab can do with a GitLab, it can do with the sandbox."""

import time
import unittest

import gitlab
from gitlab.const import AccessLevel

from sandbox import SandboxCase


class PythonGitlab(SandboxCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gl = gitlab.Gitlab(cls.url, private_token=cls.token, retry_transient_errors=False)
        cls.gl.auth()

    def group(self, path, **more):
        return self.gl.groups.create({"name": path, "path": path, **more})

    def project(self, path, **more):
        return self.gl.projects.create({"name": path, "path": path, **more})

    def user(self, name):
        """A new user, and a client that acts as them."""
        user = self.gl.users.create(
            {"username": name, "name": name, "email": f"{name}@example.com", "force_random_password": True}
        )
        token = user.personal_access_tokens.create({"name": "test", "scopes": ["api"]})
        return user, gitlab.Gitlab(self.url, private_token=token.token)

    def refuses(self, status, call, *args, **kwargs):
        with self.assertRaises(gitlab.exceptions.GitlabError) as caught:
            call(*args, **kwargs)
        self.assertEqual(caught.exception.response_code, status, caught.exception)
        return caught.exception

    def file(self, project, branch, **more):
        """A commit on a branch of its own."""
        project.files.create(
            {"file_path": branch, "branch": branch, "content": branch, "commit_message": "More", **more}
        )

    def test_a_merge_request_gets_one_comment_that_is_updated(self):
        project = self.project("reviewed", initialize_with_readme=True)
        self.file(project, "change", start_branch="main")
        request = project.mergerequests.create(
            {"source_branch": "change", "target_branch": "main", "title": "Change it"}
        )
        self.assertEqual((request.iid, request.state, request.changes_count), (1, "opened", "1"))
        self.refuses(
            409,
            project.mergerequests.create,
            {"source_branch": "change", "target_branch": "main", "title": "Again"},
        )
        note = request.notes.create({"body": "the plan"})
        found = [each for each in request.notes.list(iterator=True) if each.body.startswith("the plan")]
        self.assertEqual([each.id for each in found], [note.id])
        found[0].body = "the plan, anew"
        found[0].save()
        self.assertEqual([each.body for each in request.notes.list(get_all=True)], ["the plan, anew"])
        _, stranger = self.user("stranger-to-review")
        self.refuses(404, stranger.projects.get, project.id)
        note.delete()
        self.assertEqual(request.notes.list(get_all=True), [])
        request.merge()
        self.assertEqual(project.mergerequests.get(1).state, "merged")
        self.assertEqual(project.mergerequests.list(state="opened", get_all=True), [])
        self.assertTrue(project.files.get("change", ref="main"))

    def test_a_fork_is_made_and_asks_its_source(self):
        project = self.project("source", initialize_with_readme=True, visibility="public")
        _, ann = self.user("forker")
        made = ann.projects.get(project.id).forks.create({})
        for _ in range(200):
            fork = ann.projects.get(made.id)
            if fork.import_status == "finished" and not fork.empty_repo:
                break
            time.sleep(0.05)
        self.assertEqual(fork.path_with_namespace, "forker/source")
        self.assertEqual(fork.forked_from_project["id"], project.id)
        self.assertEqual([each.id for each in project.forks.list(get_all=True)], [fork.id])
        self.file(fork, "offer", start_branch="main")
        request = fork.mergerequests.create(
            {
                "source_branch": "offer",
                "target_branch": "main",
                "title": "An offer",
                "target_project_id": project.id,
            }
        )
        self.assertEqual(request.project_id, project.id)
        self.assertEqual([each.title for each in project.mergerequests.list(get_all=True)], ["An offer"])

    def test_what_waits_for_its_deletion_is_listed_and_can_be_restored(self):
        project, old = self.project("pending"), self.project("old")
        old.archive()
        project.delete()
        marked = self.gl.projects.get(project.id)
        self.assertIsNotNone(marked.marked_for_deletion_on)
        self.assertEqual(marked.path, f"pending-deletion_scheduled-{project.id}")

        def ids(**query):
            return {each.id for each in self.gl.projects.list(get_all=True, **query)}

        both = {project.id, old.id}
        self.assertLessEqual(both, ids())
        self.assertLessEqual(both, ids(include_pending_delete=True))
        self.assertLessEqual(both, ids(archived=True))
        self.assertFalse(both & ids(archived=False))
        self.assertFalse(both & ids(active=True))
        self.assertEqual(ids(marked_for_deletion_on=marked.marked_for_deletion_on) & both, {project.id})
        self.refuses(400, project.delete)
        marked.restore()
        restored = self.gl.projects.get("root/pending")
        self.assertEqual((restored.id, restored.archived), (project.id, False))
        self.assertIsNone(restored.marked_for_deletion_on)
        self.refuses(400, restored.restore)

    def test_the_acting_user_and_the_version(self):
        self.assertEqual(self.gl.user.username, "root")
        version, _revision = self.gl.version()
        self.assertRegex(version, r"^1[78]\.")

    def test_groups_nest_change_and_are_listed(self):
        top = self.group("nest", visibility="private")
        below = self.gl.groups.create({"name": "Below", "path": "below", "parent_id": top.id})
        self.assertEqual(below.full_path, "nest/below")
        below.description = "deeper"
        below.save()
        self.assertEqual(self.gl.groups.get("nest/below").description, "deeper")
        self.assertEqual([g.full_path for g in top.subgroups.list(get_all=True)], ["nest/below"])
        self.assertEqual([g.full_path for g in top.descendant_groups.list(get_all=True)], ["nest/below"])
        self.assertIn("nest", [g.full_path for g in self.gl.groups.list(top_level_only=True, get_all=True)])

    def test_a_group_is_moved_and_deleted(self):
        old, new = self.group("moved-from"), self.group("moved-to")
        child = self.gl.groups.create({"name": "Child", "path": "child", "parent_id": old.id})
        child.transfer(new.id)
        self.assertEqual(self.gl.groups.get(child.id).full_path, "moved-to/child")
        old.delete()
        # Deletion is delayed: marked at once, gone later.
        self.assertIsNotNone(self.gl.groups.get(old.id).marked_for_deletion_on)

    def test_project_settings_change_and_stay(self):
        project = self.project("settings", visibility="private")
        project.description = "The API"
        project.topics = ["rust", "service"]
        project.merge_method = "ff"
        project.squash_option = "always"
        project.only_allow_merge_if_pipeline_succeeds = True
        project.wiki_access_level = "disabled"
        project.ci_default_git_depth = 50
        project.save()
        live = self.gl.projects.get("root/settings")
        self.assertEqual(live.description, "The API")
        self.assertEqual(sorted(live.topics), ["rust", "service"])
        self.assertEqual((live.merge_method, live.squash_option), ("ff", "always"))
        self.assertTrue(live.only_allow_merge_if_pipeline_succeeds)
        self.assertEqual((live.wiki_access_level, live.wiki_enabled), ("disabled", False))
        self.assertEqual(live.ci_default_git_depth, 50)

    def test_a_project_is_archived_moved_and_deleted(self):
        group = self.group("receiving")
        project = self.project("wandering")
        project.archive()
        self.assertTrue(self.gl.projects.get(project.id).archived)
        project.unarchive()
        project.transfer(group.id)
        self.assertEqual(self.gl.projects.get(project.id).path_with_namespace, "receiving/wandering")
        project.delete()
        self.assertIsNotNone(self.gl.projects.get(project.id).marked_for_deletion_on)

    def test_members_come_change_and_go(self):
        group = self.group("membered")
        alice, _ = self.user("alice")
        member = group.members.create({"user_id": alice.id, "access_level": AccessLevel.DEVELOPER})
        member.access_level = AccessLevel.MAINTAINER
        member.save()
        self.assertEqual(group.members.get(alice.id).access_level, AccessLevel.MAINTAINER)
        project = self.project("inheriting", namespace_id=group.id)
        self.assertEqual(project.members.list(get_all=True), [])
        self.assertIn("alice", [m.username for m in project.members_all.list(get_all=True)])
        project.members.create({"user_id": alice.id, "access_level": AccessLevel.OWNER})
        self.refuses(409, project.members.create, {"user_id": alice.id, "access_level": AccessLevel.OWNER})
        project.members.delete(alice.id)
        group.members.delete(alice.id)
        self.refuses(404, group.members.get, alice.id)

    def test_variables_come_change_and_go(self):
        group = self.group("variables")
        project = self.project("variables", namespace_id=group.id)
        for owner in (group, project):
            for scope in ("*", "production"):
                owner.variables.create({"key": "KEY", "value": f"in {scope}", "environment_scope": scope})
            owner.variables.create({"key": "FILE", "value": "a\nb", "variable_type": "file", "raw": True})
            owner.variables.create({"key": "HIDDEN", "value": "correct-horse", "masked_and_hidden": True})
            listed = {(v.key, v.environment_scope): v.value for v in owner.variables.list(iterator=True, per_page=2)}
            self.assertEqual(
                listed,
                {
                    ("KEY", "*"): "in *",
                    ("KEY", "production"): "in production",
                    ("FILE", "*"): "a\nb",
                    ("HIDDEN", "*"): None,
                },
            )
            production = {"environment_scope": "production"}
            self.refuses(409, owner.variables.get, "KEY")
            self.assertEqual(owner.variables.get("KEY", filter=production).value, "in production")
            owner.variables.update("KEY", {"value": "changed", "filter": production})
            self.assertEqual(owner.variables.get("KEY", filter=production).value, "changed")
            owner.variables.delete("KEY", filter=production)
            self.assertEqual(owner.variables.get("KEY").value, "in *")
            refused = self.refuses(400, owner.variables.create, {"key": "M", "value": "short", "masked": True})
            self.assertIn("value", str(refused))

    def test_variables_of_the_instance(self):
        variable = self.gl.variables.create({"key": "EVERYWHERE", "value": "here"})
        variable.protected = True
        variable.save()
        self.assertTrue(self.gl.variables.get("EVERYWHERE").protected)
        variable.delete()
        self.assertEqual(self.gl.variables.list(get_all=True), [])
        _, nosy = self.user("nosy")
        self.refuses(403, nosy.variables.list, get_all=True)

    def test_members_of_a_group_that_are_not_to_be_lost(self):
        group = self.group("kept")
        self.refuses(403, group.members.delete, self.gl.user.id)
        bob, bobs = self.user("bob")
        group.members.create({"username": "bob", "access_level": 30, "expires_at": "2999-12-31"})
        self.assertEqual(group.members.get(bob.id).expires_at, "2999-12-31")
        lower = {"user_id": bob.id, "access_level": 20}
        refused = self.refuses(400, self.project("lower", namespace_id=group.id).members.create, lower)
        self.assertIn("inherited membership from group", str(refused))
        bob.block()
        self.assertEqual(group.members.get(bob.id).state, "blocked")
        self.refuses(403, bobs.auth)
        bob.unblock()
        bobs.auth()

    def test_groups_and_projects_are_shared(self):
        home, foreign = self.group("home"), self.group("foreign")
        project = self.project("shared", namespace_id=home.id)
        dora, doras = self.user("dora")
        foreign.members.create({"user_id": dora.id, "access_level": AccessLevel.OWNER})
        for shared, all_of in ((project, doras.projects), (home, doras.groups)):
            shared.share(foreign.id, AccessLevel.DEVELOPER)
            self.assertEqual(all_of.get(shared.id).shared_with_groups[0]["group_full_path"], "foreign")
            self.assertEqual(shared.members_all.get(dora.id).access_level, AccessLevel.DEVELOPER)
            self.refuses(404, shared.members.get, dora.id)
            shared.unshare(foreign.id)
            self.refuses(404, all_of.get, shared.id)

    def test_access_tokens_bring_bots(self):
        group = self.group("robots")
        project = self.project("robots", namespace_id=group.id)
        for owner in (group, project):
            token = owner.access_tokens.create(
                {"name": "ci", "scopes": ["read_api"], "access_level": 20, "expires_at": "2020-01-01"}
            )
            self.refuses(401, gitlab.Gitlab(self.url, private_token=token.token).auth)
            bot = self.gl.users.get(token.user_id)
            self.assertTrue(bot.bot)
            self.assertEqual(owner.members.get(bot.id).access_level, 20)
            self.refuses(403, owner.members.delete, bot.id)
            fresh = owner.access_tokens.get(token.id)
            fresh.rotate()
            reader = gitlab.Gitlab(self.url, private_token=fresh.token)
            reader.auth()
            self.assertEqual(reader.user.username, bot.username)
            active = owner.access_tokens.list(state="active", get_all=True)
            self.assertEqual(len(active), 1)
            active[0].delete()
            self.refuses(401, reader.auth)

    def test_tokens_are_listed_rotated_and_revoked(self):
        carol, client = self.user("carol")
        self.assertEqual(client.personal_access_tokens.get("self").scopes, ["api"])
        old = carol.personal_access_tokens.create(
            {"name": "old", "scopes": ["read_api"], "expires_at": "2020-01-01"}
        )
        expired = self.refuses(401, gitlab.Gitlab(self.url, private_token=old.token).auth)
        self.assertIn("invalid_token", str(expired.response_body))
        states = {t.name: t.active for t in self.gl.personal_access_tokens.list(user_id=carol.id, get_all=True)}
        self.assertEqual(states, {"old": False, "test": True})
        reader = carol.personal_access_tokens.create({"name": "reader", "scopes": ["read_api"]})
        limited = gitlab.Gitlab(self.url, private_token=reader.token)
        limited.projects.list(get_all=True)
        self.refuses(403, limited.projects.create, {"name": "no"})
        token = client.personal_access_tokens.get("self", self_rotate=True)
        token.rotate(self_rotate=True)
        self.refuses(401, client.auth)
        renewed = gitlab.Gitlab(self.url, private_token=token.token)
        renewed.auth()
        renewed.personal_access_tokens.delete("self")
        self.refuses(401, renewed.auth)

    def test_branches_are_protected_changed_and_freed(self):
        project = self.project("protected", initialize_with_readme=True)
        rule = project.protectedbranches.create(
            {"name": "release/*", "push_access_level": AccessLevel.MAINTAINER, "merge_access_level": 30}
        )
        self.assertEqual(rule.push_access_levels[0]["access_level"], AccessLevel.MAINTAINER)
        rule.allow_force_push = True
        rule.save()
        self.assertTrue(project.protectedbranches.get("release/*").allow_force_push)
        self.refuses(409, project.protectedbranches.create, {"name": "release/*"})
        rule.delete()
        self.refuses(404, project.protectedbranches.get, "release/*")

    def test_branches_commits_files_and_tags(self):
        project = self.project("code", initialize_with_readme=True)
        branch = project.branches.create({"branch": "feature", "ref": "main"})
        self.assertFalse(branch.protected)
        commit = project.commits.create(
            {
                "branch": "feature",
                "commit_message": "feat: two files",
                "actions": [
                    {"action": "create", "file_path": "src/a.txt", "content": "a"},
                    {"action": "create", "file_path": "src/b.txt", "content": "b"},
                ],
            }
        )
        file = project.files.get("src/a.txt", ref="feature")
        self.assertEqual(file.decode(), b"a")
        file.content = "changed"
        file.save(branch="feature", commit_message="fix: a")
        self.assertEqual(project.files.raw("src/a.txt", ref="feature"), b"changed")
        project.files.delete(file_path="src/b.txt", branch="feature", commit_message="chore: b is gone")
        tree = project.repository_tree("src", ref="feature", get_all=True)
        self.assertEqual([entry["name"] for entry in tree], ["a.txt"])
        titles = [c.title for c in project.commits.list(ref_name="feature", get_all=True)]
        self.assertEqual(titles[:3], ["chore: b is gone", "fix: a", "feat: two files"])
        self.assertEqual(project.commits.get(commit.id).title, "feat: two files")
        tag = project.tags.create({"tag_name": "v1", "ref": "feature", "message": "first"})
        self.assertEqual(project.tags.get("v1").target, tag.target)
        tag.delete()
        self.refuses(404, project.tags.get, "v1")
        branch.delete()
        self.assertEqual([b.name for b in project.branches.list(get_all=True)], ["main"])

    def test_deploy_keys_come_and_go(self):
        project = self.project("keyed")
        body = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0zcWnfNoUMuVeDJqVGg5dhAzZSo1w1rFBTIuCVRWXL test"
        key = project.keys.create({"title": "deploy", "key": body, "can_push": True})
        self.assertTrue(project.keys.get(key.id).can_push)
        self.assertEqual([k.title for k in project.keys.list(get_all=True)], ["deploy"])
        key.delete()
        self.assertEqual(project.keys.list(get_all=True), [])

    def test_namespaces_are_found(self):
        self.group("spaced")
        self.assertEqual(self.gl.namespaces.get("spaced").kind, "group")
        self.assertEqual(self.gl.namespaces.get("root").kind, "user")
        self.assertTrue(self.gl.namespaces.exists("spaced").exists)

    def test_lists_are_paged_by_number_and_by_keyset(self):
        group = self.group("paged")
        for number in range(7):
            self.project(f"p{number}", namespace_id=group.id)
        want = {f"p{number}" for number in range(7)}
        page = group.projects.list(page=2, per_page=3)
        self.assertEqual(len(page), 3)
        listed = group.projects.list(iterator=True, per_page=3)
        self.assertEqual((listed.total, listed.total_pages), (7, 3))
        self.assertEqual({project.path for project in listed}, want)
        keyset = self.gl.projects.list(
            iterator=True, per_page=2, pagination="keyset", order_by="id", sort="asc"
        )
        ids = [project.id for project in keyset]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertGreaterEqual(len(ids), 7)

    def test_refusals_have_gitlabs_statuses(self):
        self.refuses(404, self.gl.projects.get, "no/such")
        self.refuses(400, self.project, "bad path")
        self.project("taken")
        self.refuses(400, self.project, "taken")
        self.refuses(401, gitlab.Gitlab(self.url, private_token="glpat-wrong").auth)
        _, mallory = self.user("mallory")
        secret = self.project("secret", visibility="private")
        self.refuses(404, mallory.projects.get, secret.id)
        public = self.project("public", visibility="public")
        self.refuses(403, mallory.projects.update, public.id, {"description": "mine"})

    def test_what_is_not_there_says_so(self):
        refused = self.refuses(501, self.gl.runners.list, get_all=True)
        self.assertIn("/api/v4/runners", str(refused))

    def test_graphql(self):
        group = self.group("graph")
        self.project("node", namespace_id=group.id, initialize_with_readme=True)
        query = """{ project(fullPath: "graph/node") {
          fullPath visibility branchRules { nodes { name isProtected } } } }"""
        with gitlab.GraphQL(self.url, token=self.token) as client:
            project = client.execute(query)["project"]
            self.assertEqual(project["fullPath"], "graph/node")
            with self.assertRaises(Exception) as caught:
                client.execute("{ nonsense }")
        self.assertIn("nonsense", str(caught.exception))

    def test_clone_push_and_a_protected_branch(self):
        project = self.project("cloned", initialize_with_readme=True)
        dev, dev_client = self.user("dev")
        token = dev_client.personal_access_tokens.get("self")
        self.assertTrue(token.active)
        project.members.create({"user_id": dev.id, "access_level": AccessLevel.DEVELOPER})
        secret = dev_client.private_token
        copy = self.dir / "cloned"
        self.git("clone", "-q", self.clone_url("root/cloned", secret), copy)
        (copy / "new.txt").write_text("new\n")
        self.git("add", "new.txt", cwd=copy)
        self.git("commit", "-q", "-m", "feat: new", cwd=copy)
        self.git("push", "-q", "origin", "HEAD:refs/heads/topic", cwd=copy)
        self.assertEqual(project.branches.get("topic").commit["title"], "feat: new")
        refused = self.git("push", "origin", "HEAD:main", cwd=copy, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("You are not allowed to push code to protected branches", refused.stderr)
        self.git("push", "-q", self.clone_url("root/cloned", self.token), "HEAD:main", cwd=copy)
        self.assertEqual(project.branches.get("main").commit["title"], "feat: new")

    def test_a_stranger_cannot_clone(self):
        self.project("hidden", visibility="private", initialize_with_readme=True)
        _, stranger = self.user("stranger")
        refused = self.git(
            "clone", self.clone_url("root/hidden", stranger.private_token), self.dir / "no", check=False
        )
        self.assertNotEqual(refused.returncode, 0)
        self.assertFalse((self.dir / "no").exists())


if __name__ == "__main__":
    unittest.main()
