//! How large an instance is: processes, and the memory that each part may take. The extra settings of a config go before these.

use super::{Ruby, Told};
use crate::config::deploy::{Deploy, Profile};

/// What a profile is made of.
///
/// Sources: GitLab's [memory-constrained environments](https://docs.gitlab.com/omnibus/settings/memory_constrained_envs/) for the
/// small ones; Omnibus counts 1 GB for a worker of Puma and has 20 threads of Sidekiq, and the Docker image gives PostgreSQL 256 MB.
/// Half and four times that are our own choice. Omnibus would count the host's processors and memory, which a container need not have.
struct Sizes {
    /// 0: a single process without workers.
    puma_workers: i64,
    sidekiq_threads: i64,
    shared_buffers: &'static str,
    /// Whether memory is given back soon, at the price of some speed.
    is_thrifty: bool,
}

fn sizes(profile: Profile) -> Sizes {
    match profile {
        Profile::Minimal => Sizes {
            puma_workers: 0,
            sidekiq_threads: 10,
            shared_buffers: "128MB",
            is_thrifty: true,
        },
        Profile::Homelab => Sizes {
            puma_workers: 2,
            sidekiq_threads: 10,
            shared_buffers: "256MB",
            is_thrifty: true,
        },
        Profile::Team => Sizes {
            puma_workers: 4,
            sidekiq_threads: 20,
            shared_buffers: "1GB",
            is_thrifty: false,
        },
    }
}

pub(super) fn tell(spec: &Deploy, told: &mut Told) {
    let profile = spec.docker.profile.unwrap_or_default();
    let sizes = sizes(profile);
    told.set("puma['worker_processes']", sizes.puma_workers);
    told.set("sidekiq['concurrency']", sizes.sidekiq_threads);
    told.set("postgresql['shared_buffers']", sizes.shared_buffers);
    if sizes.is_thrifty {
        let decay = "dirty_decay_ms:1000,muzzy_decay_ms:1000";
        told.set("gitlab_rails['env']['MALLOC_CONF']", decay);
        told.set("gitaly['env']['MALLOC_CONF']", decay);
    }
    if profile == Profile::Minimal {
        told.set("gitaly['env']['GITALY_COMMAND_SPAWN_MAX_PARALLEL']", "2");
    }
    let monitoring = spec.monitoring.clone().unwrap_or_default();
    let prometheus = monitoring.prometheus.unwrap_or(profile != Profile::Minimal);
    told.set("prometheus_monitoring['enable']", prometheus);
    if !monitoring.allow_from.is_empty() {
        let local = ["127.0.0.0/8", "::1/128"].map(str::to_owned);
        let allowed: Ruby = local.into_iter().chain(monitoring.allow_from).collect();
        told.set("gitlab_rails['monitoring_whitelist']", allowed);
    }
}
