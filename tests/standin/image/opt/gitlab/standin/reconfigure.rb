# gitlab-ctl reconfigure: settings to files, files to services. What it refuses, Omnibus or GitLab refuses too.
require 'digest'
require 'fileutils'
require 'securerandom'
require 'uri'
require_relative 'account'
require_relative 'nginx'
require_relative 'release'
require_relative 'services'
require_relative 'settings'

module Standin
  class Reconfigure
    class Refused < StandardError; end

    # Runs it; false when it failed, and then it has said why.
    def self.run
      new.run
      true
    rescue StandardError, SyntaxError => e
      warn "\nThere was an error running gitlab-ctl reconfigure:\n\n#{e.class}: #{e.message}\n"
      warn e.backtrace.grep(/gitlab\.rb|autogit/).first.to_s
      false
    end

    def run
      puts 'Starting Chef Infra Client (stand-in)'
      @settings = Settings.load(Release.edition).to_h
      check
      make_directories
      generate_secrets
      converge('gitlab::gitlab-rails', 'templatesymlink[Create a gitlab.yml] action create') { write_settings }
      converge('nginx::enable', 'template[nginx.conf] action create') { Nginx.new(@settings).write }
      converge('gitlab::database_migrations', 'rails_migration[gitlab-rails] action run') { migrate }
      converge('gitlab::puma', 'runit_service[puma] action enable') { write_environment }
      Services.converge(@settings)
      puts 'Running handlers:', 'gitlab Reconfigured!'
    end

    private

    # In the form of Chef's log, which tells how far it is.
    def converge(recipe, resource)
      puts "Recipe: #{recipe}", "  * #{resource}"
      $stdout.flush
      yield
    end

    def rails
      @settings.fetch('gitlab_rails', {})
    end

    # What the environment of GitLab says about the stand-in itself.
    def wish(name)
      rails.fetch('env', {}).fetch("STANDIN_#{name}", nil)
    end

    def check
      url = URI.parse(@settings['external_url'].to_s)
      raise Refused, 'GitLab external URL must include a schema and FQDN, e.g. http://gitlab.example.com/' unless url.scheme && url.host

      zone = rails['time_zone']
      known = zone.nil? || !zone.include?('/') || File.exist?("/usr/share/zoneinfo/#{zone}")
      raise Refused, "Invalid Timezone: #{zone}" unless known
      raise Refused, "asked for: #{wish('FAIL')}" if wish('FAIL')
    end

    def make_directories
      FileUtils.mkdir_p(DATA, mode: 0o711)
      backups = rails['backup_path'] || '/var/opt/gitlab/backups'
      [SANDBOX, backups, '/var/opt/gitlab/gitlab-rails', '/opt/gitlab/embedded/nodes'].each { |path| FileUtils.mkdir_p(path) }
      [SANDBOX, backups].each { |path| FileUtils.chmod(0o700, path) }
      FileUtils.chown_R('git', 'git', SANDBOX)
      FileUtils.chown('git', 'git', backups)
    end

    def generate_secrets
      return if File.exist?(SECRETS)

      key = -> { SecureRandom.hex(64) }
      secrets = {
        'gitlab_workhorse' => { 'secret_token' => key.call }, 'gitlab_shell' => { 'secret_token' => key.call },
        'gitlab_rails' => %w[secret_key_base db_key_base otp_key_base encrypted_settings_key_base].to_h { |name| [name, key.call] }
      }
      File.write(SECRETS, JSON.pretty_generate(secrets), perm: 0o600)
    end

    def write_settings
      File.write("#{SETTINGS}.new", JSON.pretty_generate(@settings), perm: 0o600)
      File.rename("#{SETTINGS}.new", SETTINGS)
      FileUtils.ln_sf(SETTINGS, '/opt/gitlab/embedded/nodes/standin.json')
      File.write(RAILS_RC, "gitlab_user='git'\ngitlab_group='git'\n")
    end

    # The first boot, or one of a new version, is the slow one.
    def migrate
      marker = '/var/opt/gitlab/gitlab-rails/VERSION'
      sleep((wish('BOOT_SECONDS') || 1).to_f) unless File.exist?(marker) && File.read(marker).strip == Release.full
      Account.seed(rails)
      unless File.exist?(ENCRYPTED)
        File.write(ENCRYPTED, JSON.generate('db_key' => Reconfigure.db_key))
        FileUtils.chown('git', 'git', ENCRYPTED)
      end
      File.write(marker, "#{Release.full}\n")
      FileUtils.touch('/var/opt/gitlab/bootstrapped')
    end

    # What tells the key that the data is encrypted with.
    def self.db_key
      Digest::SHA256.hexdigest(JSON.parse(File.read(SECRETS)).dig('gitlab_rails', 'db_key_base'))
    end

    def write_environment
      host = URI.parse(@settings['external_url'])
      url = host.to_s.delete_suffix('/')
      lines = ['--release', Release.version, '--edition', Release.edition, '--url', url,
               '--listen', "127.0.0.1:#{@settings.dig('puma', 'port') || 8080}", '--dir', SANDBOX]
      File.write('/opt/gitlab/etc/gitlab-rails-arguments', "#{lines.join("\n")}\n")
      File.write('/opt/gitlab/etc/gitlab-healthcheck-rc', Nginx.new(@settings).healthcheck)
    end
  end
end
