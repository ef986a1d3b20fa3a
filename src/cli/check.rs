//! `table check`: what the items lack.

use indicatif::HumanCount;
use tower_agent_status::store::{BackfillReport, DynamoDbStore};

use super::backfill::{EXPIRED, NOT_IN_SECONDS};
use super::failure::Failure;
use super::store::StoreArgs;
use super::table::Findings;

/// Looks at some of the items.
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
    let looked_at = match report.is_whole_table {
        true => format!("of the {read} items"),
        false => format!("of the {read} items that were looked at"),
    };
    let lacking = lacking(&report);
    if report.read == 0 {
        findings.ok("there are no items yet")?;
    } else if lacking.is_empty() {
        findings.ok(&format!("{looked_at}, none lacks what a backfill adds"))?;
    } else {
        findings.differs(
            &format!("{looked_at}: {}", lacking.join(", ")),
            &args.command("table backfill"),
        )?;
    }
    let counts = &report.counts;
    for (count, what) in [
        (
            counts.left_without_expiry,
            format!(
                "without an expiry, and older than 90 days or of unknown age: with `{}` they get one",
                args.command("table backfill --expire-after DAYS")
            ),
        ),
        (
            counts.undated,
            "without a time of creation that can be read: no index can have them".to_owned(),
        ),
        (counts.expired, EXPIRED.to_owned()),
        (counts.not_in_seconds, NOT_IN_SECONDS.to_owned()),
        (counts.unusable, "with another type of value as `createdDay`, shard or expiry".to_owned()),
        (
            counts.not_sessions,
            "without `overallStatus`, so that they are none of a session".to_owned(),
        ),
    ] {
        if count > 0 {
            findings.notice(&format!("{looked_at}: {} {what}", HumanCount(count)))?;
        }
    }
    Ok(())
}

/// What a backfill would add.
fn lacking(report: &BackfillReport) -> Vec<String> {
    let counts = &report.counts;
    let expiring = report.expiring.values().sum();
    [
        (counts.unindexed, "in no index, so that lists can miss them"),
        (counts.created_at, "with `created_at` in place of `createdAt`"),
        (counts.created_day, "without `createdDay`"),
        (counts.created_shard, "without the attribute of a sharded index"),
        (expiring, "without an expiry"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{} {what}", HumanCount(count)))
    .collect()
}
