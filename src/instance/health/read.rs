//! Reads what GitLab's own programs print of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Component, Readiness, Told};

/// The components in what `gitlab-ctl status` prints: `run: puma: (pid 94) 7s; run: log: (pid 71) 7s`.
pub(super) fn components(output: &str) -> Vec<Component> {
    output.lines().filter_map(component).collect()
}

fn component(line: &str) -> Option<Component> {
    // What follows is about its log.
    let (state, rest) = line.split(';').next()?.split_once(": ")?;
    let is_up = match state.trim() {
        "run" => true,
        "down" | "finish" | "fail" => false,
        _ => return None,
    };
    let (name, rest) = rest.split_once(": ")?;
    let seconds = rest
        .split([' ', ','])
        .find_map(|word| word.strip_suffix('s')?.parse().ok());
    Some(Component {
        name: name.to_owned(),
        is_up,
        seconds: seconds.unwrap_or_default(),
    })
}

/// One answer about one part.
#[derive(Deserialize)]
struct Probe {
    status: String,
    #[serde(default)]
    message: Option<String>,
}

/// What GitLab answers when it is asked whether it is ready, and after that, in a line of its own, the HTTP status.
pub(super) fn readiness(output: &str) -> Told<Readiness> {
    let (answer, status) = output
        .trim_end()
        .rsplit_once('\n')
        .unwrap_or(("", output.trim_end()));
    let status: u16 = status.trim().parse().unwrap_or_default();
    let Ok(Value::Object(answer)) = serde_json::from_str::<Value>(answer) else {
        return Err(match status {
            0 => "GitLab's web server does not answer".to_owned(),
            502 => "GitLab's web server answers, and the application behind it does not (502)".to_owned(),
            other => format!("GitLab's web server answers with {other}"),
        });
    };
    let part = |(name, probes): (String, Value)| {
        let probes: Vec<Probe> = serde_json::from_value(probes).ok()?;
        let broken = probes.into_iter().find(|probe| probe.status != "ok");
        let what = broken.map(|probe| probe.message.unwrap_or(probe.status));
        Some((name, what))
    };
    let parts: BTreeMap<_, _> = answer.into_iter().filter_map(part).collect();
    Ok(Readiness {
        is_ready: status == 200,
        parts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_read_with_what_they_are_at() {
        let output = "run: puma: (pid 94) 700s; run: log: (pid 71) 7s\n\
                      down: sidekiq: 5s, normally up; run: log: (pid 9) 7s\n\
                      finish: redis: (pid 3) 1s\n\
                      fail: x: unable to change to service directory: file does not exist\n\
                      warning: nothing of it\n";
        let read: Vec<_> = components(output)
            .into_iter()
            .map(|component| (component.name, component.is_up, component.seconds))
            .collect();
        let expected = [
            ("puma", true, 700),
            ("sidekiq", false, 5),
            ("redis", false, 1),
            ("x", false, 0),
        ];
        assert_eq!(
            read,
            expected.map(|(name, up, seconds)| (name.to_owned(), up, seconds))
        );
    }

    #[test]
    fn readiness_is_read_part_by_part() {
        let well = readiness("{\"status\":\"ok\",\"master_check\":[{\"status\":\"ok\"}]}\n200").unwrap();
        assert!(well.is_ready);
        assert_eq!(well.parts, BTreeMap::from([("master_check".to_owned(), None)]));
        let ill = readiness(
            "{\"status\":\"failed\",\"db_check\":[{\"status\":\"failed\",\"message\":\"no route\"}],\
             \"gitaly_check\":[{\"status\":\"ok\",\"labels\":{\"shard\":\"default\"}}]}\n503",
        );
        let ill = ill.unwrap();
        assert!(!ill.is_ready);
        assert_eq!(ill.parts["db_check"].as_deref(), Some("no route"));
        assert_eq!(ill.parts["gitaly_check"], None);
        for (output, words) in [
            ("\n000", "does not answer"),
            ("<html>\n502", "502"),
            ("", "does not answer"),
        ] {
            assert!(readiness(output).unwrap_err().contains(words), "{output}");
        }
    }
}
