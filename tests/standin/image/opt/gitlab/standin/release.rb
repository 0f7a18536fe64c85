# Where things are in the container, and which release it is.
require 'json'

module Standin
  DATA = '/var/opt/gitlab/standin'.freeze
  SANDBOX = "#{DATA}/sandbox".freeze
  SETTINGS = "#{DATA}/settings.json".freeze
  ACCOUNT = "#{SANDBOX}/root.json".freeze
  ENCRYPTED = "#{SANDBOX}/encrypted.json".freeze
  SECRETS = '/etc/gitlab/gitlab-secrets.json'.freeze
  RAILS_RC = '/opt/gitlab/etc/gitlab-rails-rc'.freeze

  module Release
    def self.edition
      File.read('/RELEASE')[/gitlab-(ce|ee)/, 1]
    end

    # Without the edition: 18.8.4.
    def self.version
      File.read('/opt/gitlab/embedded/service/gitlab-rails/VERSION').strip.delete_suffix('-ee')
    end

    # As GitLab::VERSION.
    def self.full
      edition == 'ee' ? "#{version}-ee" : version
    end
  end

  # What the last reconfigure settled.
  def self.settings
    File.exist?(SETTINGS) ? JSON.parse(File.read(SETTINGS)) : {}
  end

  # GitLab's own programs run as its user, who can read no file of root's.
  def self.drop_privileges
    return unless Process.uid.zero?

    Process.initgroups('git', 998)
    Process::GID.change_privilege(998)
    Process::UID.change_privilege(998)
    ENV['HOME'] = '/var/opt/gitlab'
  end
end
