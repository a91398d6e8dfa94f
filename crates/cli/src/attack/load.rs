//! Who suffers? A client that puts values while the attack runs, a few at a time.

use anyhow::{Context as _, Result};
use quorate::Client;
use quorate::lab::ClientTally;
use quorate_services::kv::{Command, KeyValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Workers that put one value after the other until they are told to end.
pub(super) struct Load {
    client: Client<KeyValue>,
    is_over: Arc<AtomicBool>,
    workers: JoinSet<ClientTally>,
}

impl Load {
    /// Starts the workers once the cluster has answered one request.
    pub(super) async fn start(client: &Client<KeyValue>) -> Result<Self> {
        client.submit(put(0)).await.context("the cluster does not answer even without an attack")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let work = |worker| work(client.clone(), worker, Arc::clone(&is_over));
        let workers = (0..WORKERS).map(work).collect();
        Ok(Self { client: client.clone(), is_over, workers })
    }

    /// Waits for the last answers; gives what was seen. What fails meanwhile counts.
    pub(super) async fn finish(mut self) -> Result<ClientTally> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut tally = ClientTally::default();
        while let Some(seen) = self.workers.join_next().await {
            tally.add(&seen?);
        }
        self.client.close().await;
        Ok(tally)
    }
}

async fn work(client: Client<KeyValue>, worker: u64, is_over: Arc<AtomicBool>) -> ClientTally {
    let mut tally = ClientTally::default();
    while !is_over.load(Ordering::Relaxed) {
        let result = client.submit(put(worker)).await;
        if result.is_err() {
            // Some errors come at once; asking again at once would only heat the machine.
            sleep(ERROR_PAUSE).await;
        }
        tally.count(&result);
    }
    tally
}

/// Keys of their own, few, so that nothing of the user's is touched.
fn put(worker: u64) -> Command {
    let key = format!("quorate attack/{worker}");
    Command::Put { key: key.into(), value: "x".repeat(VALUE_BYTES).into() }
}

const WORKERS: u64 = 8;
const VALUE_BYTES: usize = 64;
const ERROR_PAUSE: Duration = Duration::from_millis(50);
