#!/usr/bin/env bash
# Builds the image that stands in for GitLab's, of programs of this machine and AutoGit's own sandbox, once for each release named.
#
#   tests/standin/build.sh NAME AUTOGIT RELEASE...
#   tests/standin/build.sh autogit-standin target/debug/autogit 18.8.4-ce.0 18.8.4-ee.0
#
# Needs Docker and the Debian packages that scripts/test installs. The image is of this machine's architecture and libraries.
set -euo pipefail
name=$1 autogit=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

# Where upgrades of GitLab stop: docs.gitlab.com/update/upgrade_paths.
stops=(17.3 17.5 17.8 17.11 18.2 18.5 18.8 18.11 19.2)

# program PATH...: copies programs and the libraries they load.
program() {
  local file
  for file in "$@"; do
    install -D "$(readlink -f "$file")" "$root$file"
    libraries "$file"
  done
}

libraries() {
  local file library
  for file in "$@"; do
    while read -r library; do
      [[ -e $root$library ]] || install -D "$library" "$root$library"
    done < <(ldd "$file" 2>/dev/null | grep -oE '/[^ ]+')
  done
}

programs() {
  program /bin/bash /usr/bin/{git,curl,ruby,ssh-keygen,sv,runsv,runsvdir,chpst,svlogd} /usr/sbin/{nginx,sshd} /bin/busybox
  # The largest programs of git are for mail, other version control and remotes that nothing here has.
  local helper
  mkdir -p "$root/usr/lib/git-core"
  for helper in git-receive-pack git-upload-pack git-upload-archive; do ln -s /usr/bin/git "$root/usr/lib/git-core/$helper"; done
  ln -s /usr/bin/git "$root/usr/lib/git-core/git"
  program /usr/lib/git-core/git-http-backend
  local folder
  while read -r folder; do
    mkdir -p "$root$folder"
    tar -C "$folder" --exclude=rdoc --exclude=irb --exclude=bundler --exclude='*.ri' -cf - . | tar -C "$root$folder" -xf -
  done < <(ruby -e 'puts RbConfig::CONFIG.values_at("rubylibdir", "rubyarchdir")')
  libraries "$(ruby -e 'puts RbConfig::CONFIG["rubyarchdir"]')"/{openssl,psych,socket,zlib}.so "$autogit"
  install -D -m 0755 "$autogit" "$root/opt/gitlab/standin/bin/autogit"
  strip "$root/opt/gitlab/standin/bin/autogit"
  mkdir -p "$root/usr/share/zoneinfo" && tar -C /usr/share/zoneinfo --exclude=right --exclude=posix -cf - . | tar -C "$root/usr/share/zoneinfo" -xf -
}

layout() {
  mkdir -p "$root"/{bin,tmp,proc,sys,dev,run,root,var/run,var/lib/nginx,etc/ssh,etc/gitlab,var/opt/gitlab,var/log/gitlab}
  mkdir -p "$root"/opt/gitlab/{service,embedded/bin,embedded/service/gitlab-rails,embedded/nodes}
  chmod 1777 "$root/tmp"
  local applet
  while read -r applet; do
    [[ -e $root/bin/$applet || -e $root/usr/bin/$applet || -e $root/usr/sbin/$applet ]] || ln -s busybox "$root/bin/$applet"
  done < <(/bin/busybox --list)
  ln -sf bash "$root/bin/sh"
  cp -r "$here/image/." "$root/"
  for applet in ruby curl; do ln -s "/usr/bin/$applet" "$root/opt/gitlab/embedded/bin/$applet"; done
  for applet in sv runsv runsvdir chpst svlogd; do ln -s "/usr/bin/$applet" "$root/opt/gitlab/embedded/bin/$applet"; done
  printf '%s\n' root:x:0:0:root:/root:/bin/bash nobody:x:65534:65534::/:/bin/false sshd:x:100:65534::/run/sshd:/bin/false \
    git:x:998:998::/var/opt/gitlab:/bin/sh gitlab-www:x:999:999::/var/opt/gitlab/nginx:/bin/false >"$root/etc/passwd"
  printf '%s\n' root:x:0: nogroup:x:65534: git:x:998: gitlab-www:x:999: >"$root/etc/group"
  printf '%s\n' 'hosts: files dns' 'passwd: files' 'group: files' >"$root/etc/nsswitch.conf"
  printf '%s\n' 'root:*:1::::::' 'git:*:1::::::' >"$root/etc/shadow"
}

# service NAME COMMAND...: has runit supervise a program; real ones write to their log.
service() {
  local folder=$root/opt/gitlab/sv/$1 log=/var/log/gitlab/$1
  shift
  mkdir -p "$folder"
  printf '#!/bin/bash\nexec 2>&1\n%s\n' "$*" >"$folder/run"
  chmod +x "$folder/run"
  [[ $* == *sleep* ]] && return
  mkdir -p "$folder/log"
  printf '#!/bin/sh\nexec svlogd %s\n' "$log" >"$folder/log/run"
  chmod +x "$folder/log/run"
}

services() {
  local idle
  service nginx 'exec nginx -c /var/opt/gitlab/nginx/conf/nginx.conf -g "daemon off;"'
  service sshd 'exec /usr/sbin/sshd -D -e -f /assets/sshd_config'
  service puma 'mapfile -t arguments </opt/gitlab/etc/gitlab-rails-arguments
export HOME=/var/opt/gitlab
exec chpst -u git:git /opt/gitlab/standin/bin/autogit sandbox "${arguments[@]}"'
  for idle in alertmanager gitaly gitlab-exporter gitlab-workhorse logrotate postgres-exporter postgresql prometheus redis redis-exporter \
    registry sidekiq; do
    service "$idle" 'exec sleep 2147483647'
  done
}

# The last stop before a release: what upgrades to it have to have been through.
stop_before() {
  local stop least=$1
  for stop in "${stops[@]}"; do
    [[ $stop != "$1" && $(printf '%s\n' "$stop" "$1" | sort -V | head -n 1) == "$stop" ]] && least=$stop
  done
  echo "$least"
}

# tag RELEASE: the image, told which release it is.
tag() {
  local release=$1 folder=$work/$1 version edition full
  version=${release%%-*}
  edition=${release#*-}
  edition=${edition%%.*}
  full=$version
  [[ $edition == ee ]] && full=$version-ee
  mkdir -p "$folder"/opt/gitlab/{embedded/service/gitlab-rails,standin}
  printf 'RELEASE_PACKAGE=gitlab-%s\nRELEASE_VERSION=%s\n' "$edition" "$release" >"$folder/RELEASE"
  printf 'gitlab-%s %s\n\nComponent Installed Version\ngitlab-rails v%s\n' "$edition" "$full" "$full" >"$folder/opt/gitlab/version-manifest.txt"
  echo "$full" >"$folder/opt/gitlab/embedded/service/gitlab-rails/VERSION"
  stop_before "$(cut -d. -f1,2 <<<"$version")" >"$folder/opt/gitlab/standin/min-version"
  printf 'FROM %s\nCOPY . /\nLABEL org.opencontainers.image.version=%s\n' "$base" "$release" >"$work/Dockerfile"
  tar -C "$folder" -cf - . -C "$work" Dockerfile | DOCKER_BUILDKIT=0 docker build --quiet --tag "$name:$release" - >/dev/null
  echo "$name:$release"
}

programs
layout
services
base=$name:base
tar -C "$root" --owner=0 --group=0 -cf - . | docker import \
  --change 'CMD ["/assets/init-container"]' \
  --change 'ENV PATH=/opt/gitlab/embedded/bin:/opt/gitlab/bin:/assets:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV LANG=C.UTF-8' --change 'ENV TERM=xterm' --change 'EXPOSE 443 80 22' \
  --change 'VOLUME ["/etc/gitlab", "/var/opt/gitlab", "/var/log/gitlab"]' \
  --change 'HEALTHCHECK --interval=60s --timeout=30s --retries=5 CMD /opt/gitlab/bin/gitlab-healthcheck --fail --max-time 10' \
  --change "LABEL autogit.checkout=$(cd "$here/../.." && pwd)" \
  --change 'LABEL org.opencontainers.image.title="Stand-in for GitLab, of the tests of AutoGit"' \
  - "$base" >/dev/null
for release in "$@"; do tag "$release"; done
