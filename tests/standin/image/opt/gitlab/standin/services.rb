# The services: real ones under runit's supervision, as in Omnibus. Those that the stand-in has nothing for are processes that sleep.
require 'fileutils'

module Standin
  module Services
    ALWAYS = %w[gitaly gitlab-workhorse logrotate nginx postgresql puma redis sidekiq sshd].freeze
    MONITORING = %w[alertmanager gitlab-exporter postgres-exporter prometheus redis-exporter].freeze
    STATE = '/run/standin'.freeze

    # Starts what the settings ask for, stops what they no longer do, restarts what has other settings than it was started with.
    # What an administrator stopped stays so, unless the container was started since.
    def self.converge(settings)
      FileUtils.mkdir_p(STATE)
      wanted = ALWAYS.dup
      wanted += MONITORING unless settings.dig('prometheus_monitoring', 'enable') == false
      wanted << 'registry' if settings['registry_external_url']
      wanted.sort.each { |service| start(service, settings) }
      (enabled - wanted).each { |service| sv('down', service) && FileUtils.rm("#{STATE}/#{service}") }
    end

    def self.enabled
      Dir.children(STATE).sort
    rescue Errno::ENOENT
      []
    end

    def self.sv(command, *services)
      system('sv', command, *services.map { |service| "/opt/gitlab/service/#{service}" }, out: :err)
    end

    def self.start(service, settings)
      mark = "#{STATE}/#{service}"
      told = fingerprint(service, settings)
      unless File.exist?(mark)
        wait_for_supervision(service)
        sv('up', service)
        FileUtils.rm_f("/opt/gitlab/sv/#{service}/down")
      end
      sv(service == 'nginx' ? 'hup' : 'restart', service) if File.exist?(mark) && File.read(mark) != told && up?(service)
      File.write(mark, told)
    end

    def self.up?(service)
      `sv status /opt/gitlab/service/#{service}`.start_with?('run:')
    end

    # What a service has to be restarted for.
    def self.fingerprint(service, settings)
      case service
      when 'nginx' then File.read(Nginx::CONF) + settings.fetch('nginx', {}).to_s
      when 'puma', 'sidekiq' then settings.slice('external_url', 'gitlab_rails', service).to_s
      else settings.fetch(service.tr('-', '_'), {}).to_s
      end
    end

    def self.wait_for_supervision(service)
      100.times do
        return if File.exist?("/opt/gitlab/sv/#{service}/supervise/ok")

        sleep 0.05
      end
      raise "runit does not supervise #{service}"
    end
  end
end
