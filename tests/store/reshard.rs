//! Another number of shards, while a table is written and read.

use std::time::Duration;

use tower_agent_status::status::Precondition;
use tower_agent_status::store::{
    DynamoDbStore, ReshardAction, ReshardProgress, StatusReader, StatusStore,
};

use crate::contract::begun;
use crate::script::{Script, Step};

const MINUTE: Duration = Duration::from_secs(60);

async fn table(script: &Script, shards: u16) -> DynamoDbStore {
    let client = script.client(1);
    let store = DynamoDbStore::new(client.clone(), "status").recent_shards(shards);
    store.create_table().await.unwrap();
    DynamoDbStore::new(client, "status")
}

/// Another process with the same table.
fn other(store: &DynamoDbStore) -> DynamoDbStore {
    DynamoDbStore::new(store.client().clone(), "status")
}

async fn write(store: &DynamoDbStore, id: &str, ago: Duration) {
    store.write(&begun(id, ago), Precondition::Absent).await.unwrap();
}

async fn recent(store: &DynamoDbStore) -> Vec<String> {
    let recent = store.recent(100).await.unwrap();
    recent.items.into_iter().map(|(id, _)| id.to_string()).collect()
}

async fn shards(store: &DynamoDbStore) -> Vec<(String, u16)> {
    let described = store.describe_table().await.unwrap();
    described.recent_indexes.into_iter().map(|index| (index.name, index.shards)).collect()
}

/// How many of the sessions the index itself lists, without a scan.
async fn listed(store: &DynamoDbStore, script: &Script, count: usize) -> usize {
    // The first list also samples the table for sessions missing from the index.
    store.recent(1).await.unwrap();
    script.log();
    let found = store.recent(count).await.unwrap().items.len();
    assert_eq!(script.count("Scan"), 0, "the index has too few");
    found
}

#[tokio::test(start_paused = true)]
async fn sessions_stay_listed_from_one_number_of_shards_to_the_next() {
    let script = Script::default();
    let store = table(&script, 1).await;
    let (mut expected, mut names) = (Vec::new(), vec![("recent".to_owned(), 1)]);
    for (round, shards_wanted) in [4, 16, 1].into_iter().enumerate() {
        let (writer, reader) = (other(&store), other(&store));
        for n in 0..20_u32 {
            let id = format!("{round}-{n:02}");
            write(&writer, &id, 36 * MINUTE * n).await;
        }
        recent(&reader).await;
        let plan = store.plan_reshard(shards_wanted).await.unwrap();
        let name = format!("recent-{}", round + 2);
        assert_eq!(plan.action, ReshardAction::Create(name.clone()));
        let mut resharding = std::pin::pin!(store.reshard(&plan, |_| ()));
        let mut ticks = 0;
        loop {
            tokio::select! {
                biased;
                done = &mut resharding => break done.unwrap(),
                () = tokio::time::sleep(MINUTE / 2) => {
                    ticks += 1;
                    // A writer that does not know the index yet, and finds it in time.
                    write(&writer, &format!("{round}-during-{ticks:02}"), Duration::ZERO).await;
                    let all = recent(&reader).await;
                    assert!(all.contains(&format!("{round}-during-{ticks:02}")), "{all:?}");
                }
            }
        }
        assert!(shards_wanted == 1 || ticks >= 11, "{ticks}");
        names = vec![(name, shards_wanted)];
        assert_eq!(shards(&store).await, names);
        expected = recent(&other(&store)).await;
        assert_eq!(
            expected.len(),
            20 * (round + 1) + expected.iter().filter(|id| id.contains("during")).count()
        );
        assert_eq!(recent(&reader).await, expected, "the reader has switched over");
        assert_eq!(listed(&reader, &script, expected.len()).await, expected.len());
    }
    assert_eq!(store.plan_reshard(1).await.unwrap().action, ReshardAction::Nothing);
    drop((names, expected));
}

#[tokio::test(start_paused = true)]
async fn a_reshard_that_is_stopped_anywhere_is_taken_up() {
    for stop in 0.. {
        let script = Script::default();
        let store = table(&script, 1).await;
        for n in 0..3_u32 {
            write(&store, &format!("s{n}"), 60 * MINUTE * n).await;
        }
        let expected = recent(&store).await;
        let plan = store.plan_reshard(4).await.unwrap();
        script.stop_after(stop);
        let stopped = store.reshard(&plan, |_| ()).await;
        script.heal();
        assert_eq!(recent(&other(&store)).await, expected, "stopped after {stop} requests");
        let Err(error) = stopped else {
            assert!(stop > 15, "{stop}");
            return;
        };
        assert!(error.to_string().contains("cannot reshard"), "{error}");
        // Either it goes on, or it is undone.
        let wanted = if stop % 2 == 0 { 4 } else { 1 };
        let plan = store.plan_reshard(wanted).await.unwrap();
        store.reshard(&plan, |_| ()).await.unwrap();
        let found = shards(&store).await;
        assert!(matches!(&*found, [(_, shards)] if *shards == wanted), "{stop}: {found:?}");
        let reader = other(&store);
        assert_eq!(listed(&reader, &script, 3).await, 3);
        assert_eq!(recent(&reader).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_says_what_there_is_to_do() {
    let script = Script::default();
    let store = table(&script, 1).await;
    for n in 0..10_u32 {
        write(&store, &format!("s{n}"), 60 * MINUTE * n).await;
    }
    let plan = store.plan_reshard(4).await.unwrap();
    assert_eq!(plan.item_count, 10);
    // Each item of up to a kilobyte, and its entry of the index.
    assert_eq!((plan.write_units, plan.read_units), (20, 2));
    // The new index exists, and nothing else does yet.
    script.stop_after(3);
    store.reshard(&plan, |_| ()).await.unwrap_err();
    script.heal();
    let error = store.plan_reshard(8).await.unwrap_err().to_string();
    assert!(error.contains("from 1 to 4 shards was stopped"), "{error}");
    assert!(error.contains("table reshard 4"), "{error}");
    let undo = store.plan_reshard(1).await.unwrap();
    assert_eq!(undo.action, ReshardAction::Undo("recent-2".to_owned()));
    assert_eq!((undo.write_units, undo.read_units), (0, 0));
    let go_on = store.plan_reshard(4).await.unwrap();
    assert_eq!(go_on.action, ReshardAction::TakeUp("recent-2".to_owned()));
    let mut steps = Vec::new();
    store.reshard(&go_on, |step| steps.push(step)).await.unwrap();
    let filled = ReshardProgress::Filled { scan: 1, read: 10, filled: 10 };
    assert!(steps.contains(&filled), "{steps:?}");
    let filled = ReshardProgress::Filled { scan: 2, read: 10, filled: 0 };
    assert!(steps.contains(&filled), "{steps:?}");
    for shards in [0, 257] {
        let error = store.plan_reshard(shards).await.unwrap_err().to_string();
        assert!(error.contains("from 1 to 256"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_without_an_index_gets_one() {
    let script = Script::default();
    let store = table(&script, 1).await;
    write(&store, "s", MINUTE).await;
    let remove = store.client().update_table().table_name("status");
    let delete = aws_sdk_dynamodb::types::DeleteGlobalSecondaryIndexAction::builder()
        .index_name("recent")
        .build()
        .unwrap();
    let update =
        aws_sdk_dynamodb::types::GlobalSecondaryIndexUpdate::builder().delete(delete).build();
    remove.global_secondary_index_updates(update).send().await.unwrap();
    let plan = store.plan_reshard(2).await.unwrap();
    assert_eq!(plan.action, ReshardAction::Create("recent".to_owned()));
    store.reshard(&plan, |_| ()).await.unwrap();
    assert_eq!(listed(&other(&store), &script, 1).await, 1);
}

#[tokio::test]
async fn a_role_that_may_not_describe_the_table_names_the_shards_of_the_settings() {
    let script = Script::default();
    let made = table(&script, 4).await;
    script.always("DescribeTable", Step::refuse("AccessDeniedException"));
    let settings = DynamoDbStore::new(made.client().clone(), "status").recent_shards(4);
    write(&settings, "s", MINUTE).await;
    script.heal();
    // Without the attribute, the index would not list it.
    assert_eq!(listed(&other(&made), &script, 1).await, 1);
}
