//! The program from end to end, against a sandbox: what it promises, tried.

mod apply;
mod cli;
mod comment;
mod contract;
mod deploy;
mod deploy_adopt;
mod deploy_backup;
mod deploy_day_two;
mod deploy_drift;
mod deploy_faults;
mod deploy_preflight;
mod deploy_reach;
mod deploy_settings;
mod deploy_upgrade;
mod docker;
mod doctor;
mod export;
mod faults;
mod half_moves;
mod lifecycle;
mod members;
mod moves;
mod openapi;
mod pipeline;
mod process;
mod protection;
mod revert;
mod rights;
mod rules;
mod secrets;
mod settings;
mod sign_in;
mod standin;
mod state;
mod state_commands;
mod state_gitlab;
mod support;
mod variable_faults;
mod variables;

use std::process::ExitCode;

use libtest_mimic::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let exchanges = tempfile::TempDir::new().expect("the temporary folder is writable");
    support::EXCHANGES
        .set(exchanges.path().to_owned())
        .expect("main runs once");
    let trials = [
        apply::trials(),
        cli::trials(),
        comment::trials(),
        deploy::trials(),
        deploy_reach::trials(),
        deploy_backup::trials(),
        deploy_adopt::trials(),
        deploy_drift::trials(),
        deploy_day_two::trials(),
        deploy_preflight::trials(),
        deploy_upgrade::trials(),
        deploy_settings::trials(),
        deploy_faults::trials(),
        doctor::trials(),
        export::trials(),
        faults::trials(),
        protection::trials(),
        standin::trials(),
        sign_in::trials(),
        state::trials(),
        state_commands::trials(),
        state_gitlab::trials(),
        revert::trials(),
        rights::trials(),
        rules::trials(),
        lifecycle::trials(),
        members::trials(),
        moves::trials(),
        pipeline::trials(),
        half_moves::trials(),
        secrets::trials(),
        settings::trials(),
        variables::trials(),
        variable_faults::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    let suite = libtest_mimic::run(&arguments, trials);
    // Judged last: by then everything was said.
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let contract = libtest_mimic::run(&arguments, contract::trials(whole));
    match suite.has_failed() || contract.has_failed() {
        true => ExitCode::from(101),
        false => ExitCode::SUCCESS,
    }
}
