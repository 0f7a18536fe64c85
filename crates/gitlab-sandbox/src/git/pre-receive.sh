#!/bin/sh
# Refuses what the user who pushes may not do to protected branches, as GitLab does and in its words.
#
# The server says in the environment who pushes to what:
#   SANDBOX_RULES           one line for each rule: may push, may merge, may force (each 0 or 1), then the pattern
#   SANDBOX_DEFAULT_BRANCH  the default branch; empty while the repository is
#   SANDBOX_MAY_DELETE      1 where the user may delete protected branches
#   SANDBOX_FIRST_PUSH      why this user may not make the first push; empty where that is no matter

refuse() {
	printf 'GitLab: %s\n' "$1" >&2
	exit 1
}

# Sets push, merge and force to what all rules for the branch grant together; fails when there is none.
covered() {
	found=1 push=0 merge=0 force=0
	while read -r may_push may_merge may_force pattern; do
		# Unquoted: the pattern's stars are to match any text.
		# shellcheck disable=SC2254
		case $1 in
		$pattern)
			found=0
			[ "$may_push" = 1 ] && push=1
			[ "$may_merge" = 1 ] && merge=1
			[ "$may_force" = 1 ] && force=1
			;;
		esac
	done <<-RULES
		$SANDBOX_RULES
	RULES
	return $found
}

is_zero() {
	case $1 in *[!0]*) return 1 ;; esac
}

while read -r old new ref; do
	case $ref in
	refs/heads/*) branch=${ref#refs/heads/} ;;
	*) continue ;;
	esac
	[ -z "$SANDBOX_FIRST_PUSH" ] || refuse "$SANDBOX_FIRST_PUSH"
	if is_zero "$new" && [ "$branch" = "$SANDBOX_DEFAULT_BRANCH" ]; then
		refuse 'The default branch of a project cannot be deleted.'
	fi
	covered "$branch" || continue
	if is_zero "$new"; then
		[ "$SANDBOX_MAY_DELETE" = 1 ] && refuse 'You can only delete protected branches using the web interface.'
		refuse 'You are not allowed to delete protected branches from this project. Only a project maintainer or owner can delete a protected branch.'
	fi
	if is_zero "$old"; then
		[ "$push" = 1 ] || [ -z "$SANDBOX_DEFAULT_BRANCH" ] && continue
		[ "$merge" = 1 ] && refuse 'You can only create protected branches using the web interface and API.'
		refuse 'You are not allowed to create protected branches on this project.'
	fi
	if [ "$force" = 0 ] && ! git merge-base --is-ancestor "$old" "$new"; then
		refuse 'You are not allowed to force push code to a protected branch on this project.'
	fi
	[ "$push" = 1 ] || refuse 'You are not allowed to push code to protected branches on this project.'
done
