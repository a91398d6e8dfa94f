//! How does one attack a local cluster? Traitors, alone with their key or with each other's, and links between the
//! replicas.

use quorate_attack::Adversary;
use quorate_machine::StateMachine;
use quorate_transport::Remote;
use quorate_types::{ReplicaId, SecretKey};

use crate::driver::Turn;
use crate::links::{Links, Shape};
use crate::{LocalCluster, LocalClusterBuilder, LocalReplica, Result, Venue};

impl<S: StateMachine> LocalCluster<S> {
    /// Turns several replicas into traitors that have each other's keys. With
    /// [`colluding`](quorate_attack::colluding) they know of each other's messages too:
    /// `cluster.attack_together(colluding([1, 4], replay))`.
    ///
    /// # Errors
    /// As [`LocalReplica::attack`].
    pub async fn attack_together(
        &self,
        traitors: impl IntoIterator<Item = (ReplicaId, Box<dyn Adversary>)>,
    ) -> Result {
        let traitors: Vec<_> = traitors.into_iter().collect();
        let keys: Vec<(ReplicaId, SecretKey)> =
            traitors.iter().map(|(id, _)| self.identity(id.index())).collect::<Result<_>>()?;
        for (id, adversary) in traitors {
            let colluders = keys.iter().filter(|(other, _)| *other != id).cloned().collect();
            self.turn(id, adversary, colluders, Venue::Together).await?;
        }
        Ok(())
    }

    /// The links between the replicas.
    ///
    /// # Panics
    /// If the cluster was started without [`LocalClusterBuilder::links`].
    #[must_use]
    pub const fn links(&self) -> &Links {
        self.links.as_ref().expect("the cluster was started with `.links(..)`")
    }

    /// The replicas with the addresses at which one of them reaches them.
    pub(crate) fn members_for(&self, replica: ReplicaId) -> Vec<Remote> {
        let Some(links) = &self.links else { return self.members.clone() };
        let members = self.members.iter().cloned().zip(links.addresses_for(replica));
        members.map(|(member, address)| Remote { address, ..member }).collect()
    }

    async fn turn(
        &self,
        replica: ReplicaId,
        adversary: Box<dyn Adversary>,
        colluders: Vec<(ReplicaId, SecretKey)>,
        venue: Venue,
    ) -> Result {
        let turn = Turn { adversary, colluders, seed: self.seed };
        self.node(replica.index())?.attack(turn, venue).await
    }
}

impl<S: StateMachine> LocalReplica<'_, S> {
    /// Turns it into a traitor that runs an [`Attack`](quorate_attack::Attack) or any other adversary,
    /// instead of what it ran before.
    ///
    /// # Errors
    /// [`crate::Error::NotATestCluster`]; [`crate::Error::CannotAttack`] if it needs more than the replica's own key;
    /// [`crate::Error::Stopped`] or [`crate::Error::NoSuchReplica`].
    pub async fn attack(&self, adversary: impl Into<Box<dyn Adversary>>) -> Result {
        self.cluster.turn(self.id(), adversary.into(), Vec::new(), Venue::OneReplica).await
    }

    /// Makes it honest again. What it signed stays signed.
    ///
    /// # Errors
    /// [`crate::Error::Stopped`] or [`crate::Error::NoSuchReplica`].
    pub async fn honest(&self) -> Result {
        self.cluster.node(self.id().index())?.repent().await
    }
}

impl<S: StateMachine> LocalClusterBuilder<S> {
    /// Puts links of this shape between the replicas, which [`LocalCluster::links`] changes later. Clients reach all
    /// replicas without them.
    #[must_use]
    pub const fn links(mut self, shape: Shape) -> Self {
        self.links = Some(shape);
        self
    }

    /// Where the randomness of traitors and links comes from; drawn by default. Real clusters have a clock, threads and a
    /// network of their own, so that a seed does not repeat a run.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}
