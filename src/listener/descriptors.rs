//! The limit of the process's file descriptors.

/// What the rest of the process needs at least: the store, logs, and name resolution.
const RESERVE: usize = 64;

/// Lowers a number of connections so far that a quarter of the process's descriptors, and at
/// least [`RESERVE`] of them, are free for the rest of the process. A connection takes `each`
/// descriptors.
pub(super) fn leave_free(connections: usize, each: usize) -> usize {
    within(connections, each, limit())
}

fn within(connections: usize, each: usize, limit: Option<usize>) -> usize {
    let Some(limit) = limit else { return connections };
    // With a limit below twice the reserve, both get half.
    let reserve = (limit / 4).max(RESERVE).min(limit / 2);
    connections.min((limit - reserve) / each).max(1)
}

/// The number of descriptors that the process may open; `None` if it is not limited.
#[cfg(unix)]
fn limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn limit() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::{leave_free, within};

    #[test]
    fn descriptors_are_left_for_the_rest_of_the_process() {
        let table = [
            (10_000, None, 10_000),
            (10_000, Some(1 << 20), 10_000),
            (10_000, Some(20_000), 10_000),
            (10_000, Some(1_024), 768),
            (10_000, Some(256), 192),
            (10_000, Some(100), 50),
            (10_000, Some(1), 1),
            (10_000, Some(0), 1),
            (100, Some(256), 100),
        ];
        for (wanted, limit, expected) in table {
            assert_eq!(within(wanted, 1, limit), expected, "{wanted} of {limit:?}");
        }
        for (limit, expected) in [(20_000, 7_500), (1_024, 384), (1, 1)] {
            assert_eq!(within(10_000, 2, Some(limit)), expected, "two each of {limit}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_limit_is_that_of_the_process() {
        use rustix::process::{Resource, getrlimit};
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        assert_eq!(leave_free(usize::MAX, 1), within(usize::MAX, 1, limit));
    }
}
