//! The name under which sessions are ended.

use std::env;

use super::Failure;

/// The given name, or else the user and the host of this process.
pub(super) fn name(given: Option<&str>) -> Result<String, Failure> {
    if let Some(name) = given {
        return Ok(name.to_owned());
    }
    // `sudo` sets `SUDO_USER` to the user who called it.
    let Some(user) = first_set(&["SUDO_USER", "USER", "LOGNAME", "USERNAME"]) else {
        return Err(Failure::Unusable(
            "cannot tell who ends the session, since neither USER nor LOGNAME is set: pass \
             `--by NAME`"
                .to_owned(),
        ));
    };
    Ok(match host() {
        Some(host) => format!("{user}@{host}"),
        None => user,
    })
}

fn host() -> Option<String> {
    first_set(&["HOSTNAME", "COMPUTERNAME"]).or_else(|| {
        // Shells set HOSTNAME, but do not export it.
        let name = std::fs::read_to_string("/etc/hostname").ok()?;
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    })
}

fn first_set(variables: &[&str]) -> Option<String> {
    variables.iter().find_map(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
}
