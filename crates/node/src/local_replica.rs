//! What can be done to one replica of a local cluster? Stop, start and watch it.

use quorate_machine::StateMachine;
use quorate_types::ReplicaId;
use std::time::Duration;

use crate::{LocalCluster, Result, Status, Trail};

/// One replica of a [`LocalCluster`].
pub struct LocalReplica<'a, S> {
    pub(crate) cluster: &'a LocalCluster<S>,
    index: usize,
}

impl<'a, S: StateMachine> LocalReplica<'a, S> {
    pub(crate) const fn new(cluster: &'a LocalCluster<S>, index: usize) -> Self {
        Self { cluster, index }
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> ReplicaId {
        ReplicaId(u16::try_from(self.index).unwrap_or(u16::MAX))
    }

    /// Stops it and waits until its threads have ended and its ports are free. Its log remains.
    ///
    /// # Errors
    /// [`crate::Error::StillRunning`] if its state machine does not return from a command in time, or
    /// [`crate::Error::NoSuchReplica`].
    pub async fn stop(&self) -> Result {
        self.cluster.node(self.index)?.stop().await.map(drop)
    }

    /// Stops it and replaces its disk by an empty one, without the mark of a new replica: after
    /// [`LocalReplica::restart`] it follows rule D3.
    ///
    /// # Errors
    /// As [`LocalReplica::stop`], or the disk's.
    pub async fn wipe(&self) -> Result {
        self.cluster.wipe(self.index).await
    }

    /// Starts it again after a stop or a halt. It goes on from what its log holds.
    ///
    /// # Errors
    /// [`crate::Error::Running`], [`crate::Error::NoSuchReplica`], or what keeps it from starting.
    pub async fn restart(&self) -> Result {
        self.cluster.restart(self.index).await
    }

    /// How it is doing, or what it said last if it is stopped.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchReplica`].
    pub async fn status(&self) -> Result<Status> {
        Ok(self.cluster.node(self.index)?.status().await)
    }

    /// What it executed and vouched for since it started, as far back as it remembers.
    ///
    /// # Errors
    /// [`crate::Error::Stopped`] or [`crate::Error::NoSuchReplica`].
    pub async fn trail(&self) -> Result<Trail> {
        self.cluster.node(self.index)?.trail().await
    }

    /// Waits until its status meets a condition, without a limit of its own.
    ///
    /// # Errors
    /// [`crate::Error::Stopped`] if it stops before, or [`crate::Error::NoSuchReplica`].
    pub async fn wait_for(&self, condition: impl Fn(&Status) -> bool + Send + 'static) -> Result<Status> {
        self.cluster.node(self.index)?.wait_for(Box::new(condition)).await
    }

    /// Processor time of all its threads, over all its restarts; `None` where the system does not tell.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchReplica`].
    pub fn cpu_time(&self) -> Result<Option<Duration>> {
        Ok(self.cluster.meter(self.index)?.total())
    }
}

impl<S> std::fmt::Debug for LocalReplica<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalReplica({})", self.index)
    }
}
