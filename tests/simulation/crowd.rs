//! Up to 200 processes that join the others on one item: each makes a call or two and ends, as in a
//! fan-out. Some lose an answer and reach the table again only minutes later, when the item may have
//! forgotten them.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower_agent_status::SessionId;
use tower_agent_status::status::{Change, Item, Precondition, Value};
use tower_agent_status::store::StatusStore as _;

use crate::World;
use crate::model::Model;
use crate::process::Process;

/// What must come up.
pub(crate) const EXPECTED: [&str; 7] = [
    "crowd: an item with more than 32 writers",
    "crowd: an item with more than 100 writers",
    "crowd: an item with more than 256 writers",
    "crowd: a writer forgotten",
    "crowd: an answer lost, and then the table for minutes",
    "crowd: a call that may be missing, as the log says",
    "crowd: a clock that is hours off",
];

/// Who joins the processes of a run.
#[derive(Clone, Copy, Default)]
pub(crate) struct Crowd {
    processes: usize,
    /// How many have written the item before. None of them is done.
    before: u64,
    /// Within which time they start.
    within: Duration,
}

impl Crowd {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x0c40_3d00);
        // Most of a run's time goes into those with many.
        let processes = match rng.u16(..400) {
            0 => rng.usize(100..=200),
            1..3 => rng.usize(33..100),
            3..20 => rng.usize(10..33),
            _ => return Self::default(),
        };
        // Each write of those on a large item costs a millisecond, and so does each that conflicts.
        let before = if processes < 33 && rng.u8(..4) > 0 { rng.u64(240..280) } else { 0 };
        let within = Duration::from_secs(300);
        Self { processes, before, within }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.processes > 0
    }

    /// Starts them. Those that live on in the end are returned.
    pub(crate) async fn join(
        self,
        world: &Arc<World>,
        rng: &mut Rng,
        slots: &mut JoinSet<Option<Process>>,
    ) {
        if self.before > 0 {
            self.write_before(world).await;
        }
        for _ in 0..self.processes {
            let (world, rng) = (Arc::clone(world), rng.fork());
            slots.spawn(async move { one_of_many(world, rng, self.within).await });
        }
    }

    /// Makes the item, as many others would leave it: without a call, and none of them done. They
    /// are not forgotten within the hour, so everybody who may be is.
    async fn write_before(self, world: &World) {
        let numbers =
            (0..self.before).map(|n| (format!("before{n:03}"), 1_766_570_400_000 + 2 * n));
        let writers: Item = numbers.map(|(id, seq)| (id, Value::Integer(seq))).collect();
        let time = "2025-12-24T09:00:00.000Z";
        let total = ["inputTokens", "outputTokens", "totalTokens"]
            .map(|name| (name.to_owned(), Value::Integer(0)));
        let set = Item::from_iter([
            ("createdAt".to_owned(), Value::from(time)),
            ("lastUpdated".to_owned(), Value::from(time)),
            ("overallStatus".to_owned(), Value::from("processing")),
            ("revision".to_owned(), Value::Integer(self.before)),
            ("expiresAt".to_owned(), Value::Integer(1_774_346_400)),
            ("totalTokenUsage".to_owned(), Value::Map(Item::from_iter(total))),
            ("writers".to_owned(), Value::Map(writers)),
        ]);
        let id = SessionId::new(&world.sessions[0]).unwrap();
        world.table.write(&Change::new(id, set, vec![]), Precondition::Absent).await.unwrap();
    }
}

/// A process that makes a call and ends; or waits, and makes another.
async fn one_of_many(world: Arc<World>, mut rng: Rng, within: Duration) -> Option<Process> {
    sleep(rng.u32(..1_000) * within / 1_000).await;
    let process = Process::start(&world, &mut rng);
    let actor = process.actor(&world.sessions[0]);
    actor.calls(&mut rng).await;
    if rng.bool() {
        sleep(Duration::from_secs(rng.u64(..400))).await;
        actor.calls(&mut rng).await;
    }
    drop(actor);
    match rng.u8(..16) {
        0..3 => process.kill(JoinSet::new()).await,
        3..6 => process.let_go().await,
        6..15 => {
            let up_to = [20_000, 900_000][rng.usize(..2)];
            process.shutdown(Duration::from_millis(rng.u64(..up_to)), false).await;
        }
        _ => return Some(process),
    }
    None
}

/// Counts the writers of an item.
pub(crate) fn count(model: &mut Model, before: Option<&Item>, after: &Item) {
    let writers = |item: &Item| item.get("writers").and_then(Value::as_map).cloned();
    let now = writers(after).unwrap_or_default();
    let len = now.iter().count();
    for (what, more_than) in EXPECTED[..3].iter().zip([32, 100, 256]) {
        if len > more_than {
            model.count(what);
        }
    }
    let before = before.and_then(writers).unwrap_or_default();
    if before.iter().any(|(id, _)| now.get(id).is_none()) {
        model.count("crowd: a writer forgotten");
    }
}
