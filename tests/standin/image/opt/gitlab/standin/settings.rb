# Evaluates gitlab.rb and collects its settings as Omnibus does: every name at the top is known, and what is below it springs into being.
require 'json'

module Standin
  # A hash whose missing members become hashes when they are asked for.
  class Mash < Hash
    def [](key)
      self[key] = Mash.new unless key?(key.to_s)
      super(key.to_s)
    end

    def []=(key, value)
      super(key.to_s, value)
    end

    # A member, if it is there.
    def at(key)
      fetch(key.to_s, nil)
    end

    # Without what was only asked for.
    def settled
      each_with_object({}) do |(key, value), kept|
        value = value.settled if value.is_a?(Mash)
        kept[key] = value unless value == {} || value.nil?
      end
    end
  end

  class Settings
    class Unknown < StandardError; end

    # The names that Omnibus knows: files/gitlab-cookbooks/package/libraries/config/gitlab.rb.
    HASHES = %w[
      package registry oak redis postgresql gitlab_kas gitlab_pages pgbouncer repmgr repmgrd consul spamcheck patroni gitaly praefect
      mattermost letsencrypt crond logrotate high_availability nginx mattermost_nginx pages_nginx registry_nginx gitlab_kas_nginx prometheus
      alertmanager node_exporter redis_exporter postgres_exporter pgbouncer_exporter gitlab_exporter gitlab_sshd gitaly_client gitlab_shell
      gitlab_rails gitlab_workhorse logging unicorn puma mailroom storage_check actioncable bootstrap manage_accounts
      manage_storage_directories user gitlab_ci sidekiq remote_syslog web_server prometheus_monitoring gitlab_backup_cli
      application_role sidekiq_role postgres_role patroni_role redis_sentinel_role redis_master_role redis_replica_role geo_primary_role
      geo_secondary_role monitoring_role pgbouncer_role consul_role pages_role gitaly_role backup_role
    ].freeze
    ENTERPRISE = %w[geo_postgresql geo_secondary geo_logcursor sentinel].freeze
    VALUES = %w[
      external_url registry_external_url mattermost_external_url pages_external_url gitlab_kas_external_url runtime_dir git_data_dir
      git_data_dirs roles
    ].freeze

    def self.load(edition)
      new(edition).tap { |settings| settings.from_file('/assets/gitlab.rb') }
    end

    def initialize(edition)
      @hashes = edition == 'ee' ? HASHES + ENTERPRISE : HASHES
      @all = Mash.new
    end

    def from_file(path)
      instance_eval(File.read(path), path, 1)
    end

    def method_missing(name, *values)
      name = name.to_s
      raise Unknown, "Reading unsupported config value #{name}." unless (@hashes + VALUES).include?(name)

      @all[name] = values.first unless values.empty?
      VALUES.include?(name) ? @all.at(name) : @all[name]
    end

    def respond_to_missing?(name, _private = false)
      (@hashes + VALUES).include?(name.to_s)
    end

    def to_h
      @all.settled
    end
  end
end
