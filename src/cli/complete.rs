//! `autogit completions`: what a shell needs to complete this command line.

use clap_complete::Shell;

use super::{Exit, Problem};

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  autogit completions bash > ~/.local/share/bash-completion/completions/autogit
  autogit completions zsh > \"${fpath[1]}/_autogit\"
  autogit completions fish > ~/.config/fish/completions/autogit.fish")]
pub struct Args {
    /// The shell
    shell: Shell,
}

impl Args {
    pub fn run(self) -> Result<Exit, Problem> {
        clap_complete::generate(
            self.shell,
            &mut super::command(),
            "autogit",
            &mut std::io::stdout(),
        );
        Ok(Exit::Done)
    }
}
