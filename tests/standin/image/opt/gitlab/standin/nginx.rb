# The configuration of the real nginx in front of the sandbox.
require 'fileutils'
require 'uri'

module Standin
  class Nginx
    CONF = '/var/opt/gitlab/nginx/conf/nginx.conf'.freeze

    def initialize(settings)
      @settings = settings
      @nginx = settings.fetch('nginx', {})
      @url = URI.parse(settings['external_url'])
    end

    def write
      FileUtils.mkdir_p([File.dirname(CONF), '/var/log/gitlab/nginx', '/var/lib/nginx'])
      File.write(CONF, conf)
      check = `nginx -t -q -c #{CONF} 2>&1`
      raise "nginx refuses its configuration: #{check}" unless $?.success?
    end

    def healthcheck
      "url='#{https? ? 'https' : 'http'}://localhost:#{port}/help'\nflags=(--insecure)\n"
    end

    private

    def https?
      @nginx.fetch('listen_https', @url.scheme == 'https')
    end

    def port
      @nginx['listen_port'] || @url.port
    end

    def certificate
      return unless https?

      paths = %w[crt key].zip(%w[ssl_certificate ssl_certificate_key]).map do |ending, key|
        @nginx[key] || "/etc/gitlab/ssl/#{@url.host}.#{ending}"
      end
      # Where these are not there, Omnibus asks Let's Encrypt, which a stand-in cannot.
      missing = paths.reject { |path| File.exist?(path) }
      raise "letsencrypt_certificate[#{@url.host}] had an error: no ACME server; missing: #{missing.join(', ')}" unless missing.empty?

      paths
    end

    def conf
      <<~CONF
        user gitlab-www;
        worker_processes 1;
        pid /run/nginx.pid;
        error_log /var/log/gitlab/nginx/error.log;
        events { worker_connections 1024; }
        http {
          access_log /var/log/gitlab/nginx/gitlab_access.log;
          client_max_body_size 0;
          proxy_http_version 1.1;
          proxy_buffering off;
          proxy_request_buffering off;
          proxy_set_header Host $http_host;
          proxy_set_header X-Forwarded-For $remote_addr;
          proxy_set_header X-Forwarded-Proto #{@url.scheme};
          #{redirect}
          server {
            listen #{port}#{' ssl' if https?};
            #{tls}
            location / { proxy_pass http://#{puma}; }
            location = / { return 302 #{@url.scheme}://$http_host/users/sign_in; }
            location = /users/sign_in { proxy_pass http://#{puma}/-/health; }
            location = /help { proxy_pass http://#{puma}/-/health; }
            location ~ ^/-/(health|liveness|readiness|metrics)$ {
              #{monitoring}
              error_page 403 =404 /404;
              proxy_pass http://#{puma};
            }
          }
          #{registry}
        }
      CONF
    end

    def puma
      "127.0.0.1:#{@settings.dig('puma', 'port') || 8080}"
    end

    def tls
      certificate&.then { |chain, key| "ssl_certificate #{chain}; ssl_certificate_key #{key}; ssl_protocols TLSv1.2 TLSv1.3;" }
    end

    def redirect
      return unless https? && @nginx['redirect_http_to_https']

      target = @url.port == 443 ? '' : ":#{@url.port}"
      "server { listen #{@nginx['redirect_http_to_https_port'] || 80}; return 301 https://#{@url.host}#{target}$request_uri; }"
    end

    # GitLab shows these to localhost and to whom the settings name.
    def monitoring
      allowed = @settings.dig('gitlab_rails', 'monitoring_whitelist') || ['127.0.0.0/8', '::1/128']
      "#{allowed.map { |range| "allow #{range};" }.join(' ')} deny all;"
    end

    # A registry, as far as its door goes.
    def registry
      return unless @settings['registry_external_url']

      url = URI.parse(@settings['registry_external_url'])
      own = @settings.fetch('registry_nginx', {})
      https = own.fetch('listen_https', url.scheme == 'https')
      chain = own['ssl_certificate'] || "/etc/gitlab/ssl/#{url.host}.crt"
      key = own['ssl_certificate_key'] || "/etc/gitlab/ssl/#{url.host}.key"
      "server { listen #{own['listen_port'] || url.port}#{" ssl; ssl_certificate #{chain}; ssl_certificate_key #{key}" if https}; " \
        'location /v2/ { add_header Docker-Distribution-Api-Version registry/2.0 always; return 401; } }'
    end
  end
end
