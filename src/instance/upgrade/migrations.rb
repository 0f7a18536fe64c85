# Tells AutoGit which background migrations are left: once none is, one is stuck, or `within` seconds are over, it ends.
# It reads only. All databases are asked, and more than the twenty that the API lists.
$stdout.sync = true
now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
deadline = now.call + within
loop do
  left = []
  Gitlab::Database::EachDatabase.each_connection(include_shared: false) do |_connection, database|
    Gitlab::Database::BackgroundMigration::BatchedMigration.unfinished.each do |migration|
      left << {
        id: "#{database}_#{migration.id}",
        job: migration.job_class_name,
        table: migration.table_name,
        status: migration.status_name.to_s,
        progress: migration.progress
      }
    end
  end
  puts "autogit-migrations #{JSON.generate(left)}"
  stuck = left.any? { |migration| %w[failed paused].include?(migration[:status]) }
  break if left.empty? || stuck || now.call >= deadline

  sleep 5
end
