# gitlab-backup: an archive of the sandbox's data in the form of GitLab's, with the checks that GitLab makes before it restores one.
require 'fileutils'
require 'time'
require 'yaml'
require 'zlib'
require_relative 'release'

module Standin
  class Backup
    MANIFEST = 'backup_information.yml'.freeze
    SUFFIX = '_gitlab_backup.tar'.freeze
    # What the stand-in has of what GitLab backs up: the part's name, and where it is.
    PARTS = { 'db' => 'db', 'repositories' => 'repositories' }.freeze

    def initialize(environment)
      @environment = environment
      @skipped = environment.fetch('SKIP', '').split(',')
      @path = Standin.settings.dig('gitlab_rails', 'backup_path') || '/var/opt/gitlab/backups'
    end

    def create
      Dir.chdir(@path) do
        describe
        parts = PARTS.keys - @skipped
        dump('db') { dump_database } if parts.include?('db')
        dump('repositories') { dump_repositories } if parts.include?('repositories')
        File.write(MANIFEST, @information.to_yaml.sub(/\A---\n/, ''), perm: 0o600)
        pack(parts) unless @skipped.include?('tar')
      end
      say 'Warning: Your gitlab.rb and gitlab-secrets.json files contain sensitive data and are not included in this backup.'
      say "Backup #{@information[:backup_id]} is done."
    end

    def restore
      Dir.chdir(@path) do
        unpack
        check_version
        confirm
        abort 'PG::ObjectInUse: database is being accessed by other users: stop puma and sidekiq' if in_use?
        restore_parts
        FileUtils.rm_rf([MANIFEST, *PARTS.values])
      end
      say 'Restore task is done.'
    end

    private

    def say(line)
      puts "#{Time.now.utc} -- #{line}" unless @environment['CRON'] == '1'
    end

    def dump(name)
      say "Dumping #{name} ... "
      yield
      say "Dumping #{name} ... done"
    end

    def describe
      now = Time.now.utc
      id = @environment['BACKUP'] ? File.basename(@environment['BACKUP']) : now.strftime("%s_%Y_%m_%d_#{Release.full}")
      @information = {
        db_version: '20260101000000', backup_created_at: now, gitlab_version: Release.full, tar_version: 'busybox',
        installation_type: 'gitlab-docker', skipped: @skipped.join(','), repositories_storages: '', repositories_paths: '',
        skip_repositories_paths: '', repositories_server_side: false, backup_id: id, full_backup_id: id
      }
    end

    # What GitLab keeps in PostgreSQL.
    def dump_database
      FileUtils.mkdir_p('db')
      %w[store.jsonl root.json encrypted.json].each do |file|
        Zlib::GzipWriter.open("db/#{file}.gz") { |gzip| gzip.write(File.binread("#{SANDBOX}/#{file}")) }
      end
    end

    def dump_repositories
      FileUtils.mkdir_p("#{SANDBOX}/repositories")
      FileUtils.cp_r("#{SANDBOX}/repositories", '.')
    end

    def pack(parts)
      archive = "#{@information[:backup_id]}#{SUFFIX}"
      say "Creating backup archive: #{archive} ... "
      File.umask(0o077)
      system('tar', '-cf', archive, MANIFEST, *PARTS.values_at(*parts)) || abort('Backup failed')
      FileUtils.rm_rf([MANIFEST, *PARTS.values])
      say "Creating backup archive: #{archive} ... done"
    end

    def unpack
      archives = Dir.glob("*#{SUFFIX}")
      abort "No backups found in #{@path}" if archives.empty?
      abort "Found more than one backup:\n#{archives.join("\n")}" if archives.size > 1 && @environment['BACKUP'].nil?
      archive = @environment['BACKUP'] ? "#{File.basename(@environment['BACKUP'])}#{SUFFIX}" : archives.first
      abort "The backup file #{archive} does not exist!" unless File.exist?(archive)
      say 'Unpacking backup ... '
      system('tar', '-xf', archive) || abort('Unpacking backup failed')
      @information = YAML.safe_load(File.read(MANIFEST), permitted_classes: [Symbol, Time])
    end

    def check_version
      theirs = @information[:gitlab_version]
      return if theirs == Release.full

      abort <<~MESSAGE
        GitLab version mismatch:
          Your current GitLab version (#{Release.full}) differs from the GitLab version in the backup!
          Please switch to the following version and try again:
          version: #{theirs}
      MESSAGE
    end

    def confirm
      return if @environment['GITLAB_ASSUME_YES'] == '1'

      print 'Do you want to continue (yes/no)? '
      abort 'Quitting...' unless $stdin.gets.to_s.strip == 'yes'
    end

    def in_use?
      File.open("#{SANDBOX}/lock", 'w') { |lock| !lock.flock(File::LOCK_EX | File::LOCK_NB) }
    end

    def restore_parts
      skipped = @skipped + @information[:skipped].to_s.split(',')
      (PARTS.keys - skipped).each do |part|
        say "Restoring #{part} ... "
        part == 'db' ? restore_database : restore_repositories
        say "Restoring #{part} ... done"
      end
    end

    def restore_database
      # The sandbox's own token is part of its data: it makes itself another.
      FileUtils.rm_f("#{SANDBOX}/token")
      Dir.glob('db/*.gz') { |file| File.binwrite("#{SANDBOX}/#{File.basename(file, '.gz')}", Zlib::GzipReader.open(file, &:read)) }
    end

    def restore_repositories
      FileUtils.rm_rf("#{SANDBOX}/repositories")
      FileUtils.cp_r('repositories', SANDBOX)
    end
  end
end
