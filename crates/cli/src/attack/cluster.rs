//! Whom does one ask? The processes of a test cluster on this machine, each at the socket in its directory.

use anyhow::{Context as _, Result, bail};
use quorate::config::{ClusterConfig, ReplicaConfig, read_key};
use quorate::lab::Witness;
use quorate::types::{Height, ReplicaId};
use quorate::{Client, ClientOptions, ControlClient, Status, Trail};
use quorate_services::kv::KeyValue;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::files::CLIENT_KEY;
use crate::testnet::config_of;

/// A test cluster whose files lie in one directory.
pub(super) struct Cluster {
    file: PathBuf,
    config: ClusterConfig,
    /// Each replica's directory.
    replicas: Vec<PathBuf>,
}

impl Cluster {
    /// Reads the cluster's file, and the replicas' configurations beside it.
    pub(super) fn find(file: &Path) -> Result<Self> {
        let config = ClusterConfig::read(file)?;
        if !config.genesis.test {
            bail!(
                "the genesis of {} does not say `test: true`; attacks run on test clusters only",
                file.display()
            );
        }
        let beside = file.parent().unwrap_or_else(|| Path::new(""));
        let read = |index| ReplicaConfig::read(beside.join(config_of(index))).map(|replica| replica.dir);
        let replicas: Result<_, _> = (0..config.replicas.len()).map(read).collect();
        let replicas = replicas.context("the attacked replicas must run on this machine")?;
        Ok(Self { file: file.to_owned(), config, replicas })
    }

    /// The control socket of one replica.
    pub(super) async fn control(&self, replica: ReplicaId) -> Result<ControlClient> {
        let Some(directory) = self.replicas.get(replica.index()) else {
            bail!(
                "there is no replica {replica}; this cluster has replicas 0 to {}",
                self.replicas.len() - 1
            );
        };
        Ok(ControlClient::connect(directory).await?)
    }

    /// A client with the key beside the cluster's file.
    pub(super) fn client(&self) -> Result<Client<KeyValue>> {
        let key = read_key(&self.file.with_file_name(CLIENT_KEY), None)?;
        Ok(Client::start(&self.config.genesis, &self.config.replicas, key, &ClientOptions::default())?)
    }

    /// What every replica says of itself, if it can be asked.
    pub(super) async fn statuses(&self) -> Vec<Option<Status>> {
        let mut statuses = Vec::new();
        for directory in &self.replicas {
            statuses.push(status(directory).await.ok());
        }
        statuses
    }

    /// Waits until all that can be asked have executed the same blocks, but not for ever, and gives what they saw. The
    /// traitor is the one that `fired` tells of. Who could not be asked is named apart.
    pub(super) async fn witnesses(
        &self,
        before: Vec<Option<Status>>,
        fired: Status,
    ) -> Result<(Vec<Witness>, Vec<ReplicaId>)> {
        self.settle().await;
        let (mut witnesses, mut absent) = (Vec::new(), Vec::new());
        for ((directory, before), id) in self.replicas.iter().zip(before).zip((0..).map(ReplicaId)) {
            match (before, seen(directory).await) {
                (Some(before), Ok((after, trail))) => {
                    let after = if id == fired.replica { fired.clone() } else { after };
                    witnesses.push(Witness { before, after, trail });
                }
                _ => absent.push(id),
            }
        }
        Ok((witnesses, absent))
    }

    async fn settle(&self) {
        let goal = self.statuses().await.iter().flatten().map(|status| status.committed).max();
        let (goal, end) = (goal.unwrap_or(Height(0)), Instant::now() + SETTLE_MAX);
        while Instant::now() < end {
            let statuses = self.statuses().await;
            if statuses.iter().flatten().all(|status| status.executed >= goal || status.halted.is_some()) {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

async fn status(directory: &Path) -> quorate::Result<Status> {
    ControlClient::connect(directory).await?.status().await
}

async fn seen(directory: &Path) -> quorate::Result<(Status, Trail)> {
    let mut control = ControlClient::connect(directory).await?;
    Ok((control.status().await?, control.trail().await?))
}

/// How long replicas may take to catch up with each other after an attack.
const SETTLE_MAX: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
