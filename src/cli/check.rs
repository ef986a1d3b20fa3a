//! `table check`: what the items lack that a backfill adds.

use indicatif::HumanCount;
use tower_agent_status::store::{BackfillReport, DynamoDbStore};

use super::backfill::{EXPIRED, NOT_IN_SECONDS, NOT_SESSIONS, UNDATED, WRONG_TYPE, added};
use super::failure::Failure;
use super::store::StoreArgs;
use super::table::Findings;

/// Samples the items.
pub(crate) async fn items(
    store: &DynamoDbStore,
    args: &StoreArgs,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let plan = store.plan_backfill().await?;
    let report = match store.sample_backfill(&plan).await {
        Ok(report) => report,
        Err(error) => {
            findings.unknown(&format!("whether the items lack attributes: {error}"))?;
            return Ok(());
        }
    };
    let read = HumanCount(report.read);
    let items = match report.is_whole_table {
        true => format!("{read} items"),
        false => format!("{read} items sampled"),
    };
    let missing = missing(&report);
    if report.read == 0 {
        findings.ok("there are no items yet")?;
    } else if missing.is_empty() {
        findings.ok(&format!("none of the {items} needs a backfill"))?;
    } else {
        findings.differs(
            &format!("of the {items}: {}", missing.join(", ")),
            &args.command("table backfill"),
        )?;
    }
    let counts = &report.counts;
    for (count, what) in [
        (
            counts.left_without_expiry,
            format!(
                "without an expiry, and older than 90 days or of unknown age: `{}` gives them one",
                args.command("table backfill --expire-after DAYS")
            ),
        ),
        (counts.undated, format!("{UNDATED}: they cannot be added to the index")),
        (counts.expired, EXPIRED.to_owned()),
        (counts.not_in_seconds, NOT_IN_SECONDS.to_owned()),
        (counts.unusable, WRONG_TYPE.to_owned()),
        (counts.not_sessions, NOT_SESSIONS.to_owned()),
    ] {
        if count > 0 {
            findings.notice(&format!("of the {items}: {} {what}", HumanCount(count)))?;
        }
    }
    Ok(())
}

/// What a backfill would add.
fn missing(report: &BackfillReport) -> Vec<String> {
    // Not all items without an expiry would get one.
    let expiring = report.expiring.values().sum();
    let added = added(&report.counts, expiring).into_iter().filter(|(count, _)| *count > 0);
    added.map(|(count, what)| format!("{} {what}", HumanCount(count))).collect()
}
