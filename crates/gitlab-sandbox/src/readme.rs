//! The first commit of a project that is created with a README.

use std::process::Stdio;

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    app::App,
    error::{ApiError, ApiResult},
    store::{Project, User},
};

/// Makes the repository with one commit that adds `README.md`.
pub async fn commit(app: &App, project: &Project, author: &User, branch: &str) -> ApiResult<()> {
    let path = app.ensure_repository(project.id, branch).await?;
    let mut import = Command::new("git")
        .args(["fast-import", "--quiet"])
        .current_dir(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error))?;
    let stream = stream(project, author, branch);
    if let Some(mut stdin) = import.stdin.take() {
        stdin
            .write_all(stream.as_bytes())
            .await
            .map_err(|error| failed(&error))?;
    }
    let status = import.wait().await.map_err(|error| failed(&error))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(&status))
    }
}

fn failed(why: &dyn std::fmt::Display) -> ApiError {
    ApiError::internal(&format!("failed to commit README.md: {why}"))
}

/// Input of `git fast-import`.
fn stream(project: &Project, author: &User, branch: &str) -> String {
    let text = match &project.description {
        Some(description) => format!("# {}\n\n{description}\n", project.name),
        None => format!("# {}\n", project.name),
    };
    let message = "Initial commit";
    // A name cannot hold what delimits it in a commit.
    let name: String = author
        .name
        .chars()
        .filter(|char| !matches!(char, '<' | '>' | '\n'))
        .collect();
    format!(
        "commit refs/heads/{branch}\ncommitter {name} <{}> {} +0000\ndata {}\n{message}\nM 100644 inline README.md\ndata {}\n{text}\n",
        author.email,
        project.created_at.as_second(),
        message.len(),
        text.len(),
    )
}
