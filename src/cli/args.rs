//! Parsers and options shared by several commands.

use std::time::Duration;

use tower_agent_status::{InvalidSessionId, SessionId};

/// Parses the id of a session in the table.
pub(crate) fn session_id(text: &str) -> Result<SessionId, InvalidSessionId> {
    SessionId::from_key(text)
}

/// Parses a duration such as `90s`, `5m`, `12h` or `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    const EXPECTED: &str = "expected a number and a unit, such as 500ms, 90s, 5m, 12h or 7d";
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| EXPECTED)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(EXPECTED),
    };
    let millis = number.checked_mul(millis).ok_or("the duration is too long")?;
    Ok(Duration::from_millis(millis))
}

/// Parses a text that must not be blank, and trims it.
pub(crate) fn nonblank_text(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("the text is blank"),
        text => Ok(text.to_owned()),
    }
}

/// The option `--heartbeat`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Heartbeat {
    /// Heartbeat interval of the processes that write to the table; a workflow that misses
    /// three heartbeats is shown as stalled
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) heartbeat: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_unit() {
        let table = [
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("90s", Some(90_000)),
            ("5m", Some(300_000)),
            ("12h", Some(43_200_000)),
            ("7d", Some(604_800_000)),
            ("7", None),
            ("d", None),
            ("-7d", None),
            ("1.5h", None),
            ("7 d", None),
            ("", None),
            ("99999999999999999999s", None),
            ("9999999999999999999d", None),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text).ok(), millis.map(Duration::from_millis), "{text}");
        }
    }
}
