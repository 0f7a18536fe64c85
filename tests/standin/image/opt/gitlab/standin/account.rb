# The administrator's password, which the sandbox has no use for, and how the first one comes about.
require 'digest'
require 'fileutils'
require 'json'
require 'securerandom'
require_relative 'release'

module Standin
  module Account
    INITIAL = '/etc/gitlab/initial_root_password'.freeze

    # Once in the life of the data.
    def self.seed(rails)
      return if File.exist?(ACCOUNT)

      given = rails['initial_root_password'] || ENV['GITLAB_ROOT_PASSWORD']
      password = given || SecureRandom.alphanumeric(44)
      raise "Could not create the default administrator account: #{complaint(password)}" if complaint(password)

      save('password' => Digest::SHA256.hexdigest(password))
      return if given

      File.write(INITIAL, "# WARNING: this file is the stand-in's and deleted at the first reconfigure after 24 hours.\n\nPassword: #{password}\n",
                 perm: 0o600)
    end

    def self.complaint(password)
      'Password is too short (minimum is 8 characters)' if password.length < 8
    end

    def self.password?(password)
      JSON.parse(File.read(ACCOUNT))['password'] == Digest::SHA256.hexdigest(password)
    end

    def self.save(account)
      File.write(ACCOUNT, JSON.generate(account), perm: 0o600)
      FileUtils.chown('git', 'git', ACCOUNT) if Process.uid.zero?
    end
  end
end
