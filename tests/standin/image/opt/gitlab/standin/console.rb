# Stand-ins for GitLab's classes in `gitlab-rails runner`: as little of them as setting up an administrator's token and account takes.
# What is not here raises NoMethodError, as a misspelt name would in GitLab.
require 'date'
require 'digest'
require 'time'
require_relative 'account'
require_relative 'migrations'
require_relative 'sandbox'

class ActiveRecord
  class RecordInvalid < StandardError; end
  class RecordNotFound < StandardError; end
  class RecordNotUnique < StandardError; end
end

# 365.days.from_now
class Integer
  Days = Struct.new(:count) do
    def from_now = Time.now + (count * 86_400)
    def ago = Time.now - (count * 86_400)
  end

  def days = Days.new(self)
  alias day days
end

class Object
  def present? = !blank?
  def blank? = nil? || (respond_to?(:empty?) && empty?)
end

class Date
  def self.current = today
end

class Time
  def self.current = now
end

module Gitlab
  VERSION = Standin::Release.full

  def self.ee? = VERSION.end_with?('-ee')

  # Application settings.
  module CurrentSettings
    def self.max_personal_access_token_lifetime = nil
  end
end

# Records in a list, narrowed step by step.
class Relation
  include Enumerable

  def initialize(records, user: nil)
    @records = records
    @user = user
  end

  def each(&block) = @records.each(&block)
  def empty? = @records.empty?
  def exists? = @records.any?
  def last = @records.last
  def size = @records.size

  def where(**conditions)
    keep = @records.select { |record| conditions.all? { |key, value| Array(value.nil? ? [nil] : value).include?(record.public_send(key)) } }
    Relation.new(keep, user: @user)
  end

  def order(*keys) = Relation.new(@records.sort_by { |record| keys.map { |key| record.public_send(key) } }, user: @user)
  def not(**conditions) = Relation.new(@records - where(**conditions).to_a, user: @user)
  def find_by(**conditions) = where(**conditions).first
  def active = Relation.new(@records.select(&:active?), user: @user)

  # The tokens of a user.
  def build(**attributes) = PersonalAccessToken.new(user: @user, **attributes)
  alias new build
  def create!(**attributes) = build(**attributes).tap(&:save!)
end

class User
  attr_reader :id, :username
  attr_accessor :email, :name
  attr_writer :password, :password_confirmation

  def self.all
    Standin::Sandbox.call(:get, '/api/v4/users?per_page=100').map { |shown| new(shown) }
  end

  def self.count = all.size
  def self.find_by_username(username) = all.find { |user| user.username == username }
  def self.find_by_username!(username) = find_by_username(username) || raise(ActiveRecord::RecordNotFound, "Couldn't find User")
  def self.find_by(**conditions) = Relation.new(all).find_by(**conditions)
  def self.find(id) = all.find { |user| user.id == id } || raise(ActiveRecord::RecordNotFound, "Couldn't find User with 'id'=#{id}")
  def self.admins = Relation.new(all.select(&:admin?))

  def initialize(shown)
    @id, @username, @name, @admin = shown.values_at('id', 'username', 'name', 'is_admin')
    @email = shown['email'] || shown['public_email']
  end

  def admin? = @admin == true
  def personal_access_tokens = Relation.new(PersonalAccessToken.all.select { |token| token.user_id == id }, user: self)

  def valid_password?(password)
    username == 'root' && Standin::Account.password?(password)
  end

  def save!
    complaint = @password && Standin::Account.complaint(@password)
    complaint ||= "Password confirmation doesn't match Password" if @password_confirmation && @password_confirmation != @password
    raise ActiveRecord::RecordInvalid, "Validation failed: #{complaint}" if complaint

    Standin::Account.save('password' => Digest::SHA256.hexdigest(@password)) if @password
    Standin::Sandbox.call(:patch, "/-/sandbox/users/#{username}", email: email, name: name)
    true
  end

  def save = save!
  def skip_reconfirmation! = nil

  def update!(**attributes)
    attributes.each { |key, value| public_send("#{key}=", value) }
    save!
  end
end

class Project
  def self.count = Standin::Sandbox.call(:get, '/api/v4/projects?per_page=100').size
end

class PersonalAccessToken
  SCOPES = %w[api read_api read_user create_runner manage_runner k8s_proxy self_rotate read_repository write_repository sudo admin_mode].freeze

  attr_reader :id, :user_id, :name, :scopes, :expires_at, :token, :token_digest, :user

  def self.all = Standin::Sandbox.call(:get, '/-/sandbox/tokens').map { |shown| stored(shown) }
  def self.where(**conditions) = Relation.new(all).where(**conditions)
  def self.find_by(**conditions) = Relation.new(all).find_by(**conditions)
  def self.find_by_token(value) = find_by(token_digest: Digest::SHA256.hexdigest(value))
  def self.create!(**attributes) = new(**attributes).tap(&:save!)

  def self.stored(shown)
    allocate.tap { |token| token.send(:take, shown) }
  end

  def initialize(name:, scopes:, user: nil, expires_at: nil)
    @user = user
    @user_id = user&.id
    @name = name
    @scopes = scopes.map(&:to_s)
    @expires_at = expires_at && Date.parse(expires_at.to_s)
  end

  def set_token(value)
    @token = value
  end

  def revoked = @revoked == true
  alias revoked? revoked
  def expired? = !expires_at.nil? && expires_at <= Date.today
  def active? = !revoked? && !expired?

  def save!
    problems = []
    problems << 'User must exist' unless user
    problems << 'Scopes can only contain available scopes' unless scopes.any? && (scopes - SCOPES).empty?
    problems << "Expires at can't be blank" unless expires_at
    problems << "Expires at must be before #{Date.today + 365}" if expires_at && expires_at > Date.today + 365
    raise ActiveRecord::RecordInvalid, "Validation failed: #{problems.join(', ')}" unless problems.empty?

    @token ||= "glpat-#{SecureRandom.alphanumeric(20)}"
    body = { user: user.username, name: name, scopes: scopes, expires_at: expires_at.to_s, token: token }
    take(Standin::Sandbox.call(:post, '/-/sandbox/tokens', body))
    true
  end

  def revoke!
    Standin::Sandbox.call(:delete, "/api/v4/personal_access_tokens/#{id}")
    @revoked = true
  end

  private

  def take(shown)
    @id, @user_id, @name, @scopes, @revoked, @token_digest = shown.values_at('id', 'user_id', 'name', 'scopes', 'revoked', 'digest')
    @expires_at = shown['expires_at'] && Date.parse(shown['expires_at'])
  end
end
