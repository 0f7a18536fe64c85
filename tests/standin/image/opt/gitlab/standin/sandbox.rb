# What the console's classes act on: the sandbox, over its control interface, with the sandbox's own token.
require 'json'
require 'net/http'
require_relative 'release'

module Standin
  module Sandbox
    class Unreachable < StandardError; end

    def self.call(verb, path, body = nil)
      port = Standin.settings.dig('puma', 'port') || 8080
      request = Net::HTTP.const_get(verb.capitalize).new(path, 'Content-Type' => 'application/json')
      request['PRIVATE-TOKEN'] = File.read("#{SANDBOX}/token").strip
      request.body = JSON.generate(body) if body
      answer = Net::HTTP.start('127.0.0.1', port) { |http| http.request(request) }
      raise "#{verb} #{path}: #{answer.code} #{answer.body}" unless answer.code.start_with?('2')

      answer.body.to_s.empty? ? nil : JSON.parse(answer.body)
    rescue Errno::ECONNREFUSED, Errno::ENOENT
      # With GitLab it is the database that has to be there, with the stand-in the sandbox.
      raise Unreachable, 'connection to server failed: is puma running?'
    end
  end
end
