# What Omnibus' file of this name sets in a container, and what it reads after.
postgresql['shared_buffers'] = '256MB'
node_exporter['enable'] = false
manage_accounts['enable'] = false
external_url "http://#{`hostname`.strip}"
package['detect_init'] = false
package['modify_kernel_parameters'] = false
eval ENV['GITLAB_OMNIBUS_CONFIG'].to_s
from_file('/etc/gitlab/gitlab.rb') if File.exist?('/etc/gitlab/gitlab.rb')
