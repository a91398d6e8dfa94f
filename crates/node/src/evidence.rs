//! Where do proofs of misbehaviour gather? On one board per process, each proof once.

use quorate_types::Evidence;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

use crate::{Error, Result};

/// Verified evidence of all replicas that share the board, in the order in which it came. Each
/// replica reports a bounded number against each other one.
#[derive(Clone, Debug)]
pub(crate) struct EvidenceBoard {
    proofs: Arc<watch::Sender<Vec<Arc<Evidence>>>>,
}

impl EvidenceBoard {
    pub(crate) fn new() -> Self {
        Self { proofs: Arc::new(watch::Sender::new(Vec::new())) }
    }

    pub(crate) fn add(&self, proof: &Arc<Evidence>) {
        self.proofs.send_if_modified(|proofs| {
            let is_new = !proofs.contains(proof);
            if is_new {
                tracing::warn!("evidence: {proof}");
                proofs.push(Arc::clone(proof));
            }
            is_new
        });
    }

    /// Waits for the first proof.
    pub(crate) async fn first(&self, wait_max: Duration) -> Result<Vec<Arc<Evidence>>> {
        let mut proofs = self.proofs.subscribe();
        let any = proofs.wait_for(|proofs| !proofs.is_empty());
        match tokio::time::timeout(wait_max, any).await {
            Ok(Ok(proofs)) => Ok(proofs.clone()),
            // The board cannot be gone: `self` holds it.
            Ok(Err(_)) | Err(_) => Err(Error::NoEvidence { waited: wait_max }),
        }
    }
}
