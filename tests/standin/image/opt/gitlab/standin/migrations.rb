# Stand-ins for GitLab's classes of background migrations, in the one database that there is.
require 'json'
require_relative 'sandbox'

module Gitlab
  module Database
    module EachDatabase
      def self.each_connection(include_shared: true)
        yield nil, 'main'
        yield nil, 'ci' if include_shared
      end
    end

    module BackgroundMigration
      BatchedMigration = Struct.new(:id, :job_class_name, :table_name, :status_name, :progress) do
        def self.unfinished
          shown = Standin::Sandbox.call(:get, '/api/v4/admin/batched_background_migrations')
          shown = shown.reject { |migration| %w[finished finalized].include?(migration['status']) }
          shown.map { |migration| new(migration['id'], *migration.values_at('job_class_name', 'table_name'), migration['status'].to_sym, migration['progress']) }
        end
      end
    end
  end
end
