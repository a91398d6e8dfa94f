//! What no honest replica may ever have done, judged after a run.

use super::Cluster;
use quorate_consensus::Event;
use quorate_types::ReplicaId;
use quorate_types::message::Message;

impl Cluster {
    /// [D2] [V6] No replica but the `faulty` ones ever said two things for one slot, or voted in a
    /// view that it had left.
    pub fn assert_promises_kept(&self, faulty: &[usize]) {
        use std::collections::BTreeMap;
        let mut said: BTreeMap<(ReplicaId, &str, u64, u64), Vec<u8>> = BTreeMap::new();
        for (from, message) in self.promises.iter().filter(|(from, _)| !faulty.contains(&from.index())) {
            let (kind, view, height, content) = match message {
                Message::Propose(p) => {
                    let header = p.header.header;
                    ("propose", header.view.0, header.height.0, header.digest().0.to_vec())
                }
                Message::Vote(v) => ("vote", v.vote.view.0, v.vote.height.0, v.vote.digest.0.to_vec()),
                Message::Commit(c) => ("commit", c.vote.view.0, c.vote.height.0, c.vote.digest.0.to_vec()),
                Message::ViewChange(c) => ("view change", c.new_view.0, 0, c.signature.0.to_vec()),
                Message::CheckpointVote(c) => {
                    ("checkpoint", 0, c.checkpoint.height.0, c.checkpoint.state_root.0.to_vec())
                }
                _ => continue,
            };
            let earlier = said.entry((*from, kind, view, height)).or_insert_with(|| content.clone());
            assert_eq!(*earlier, content, "{from} said two things: {message:?}");
        }
        let mut left: BTreeMap<ReplicaId, u64> = BTreeMap::new();
        let mut votes = std::collections::BTreeSet::new();
        for (from, message) in self.promises.iter().filter(|(from, _)| !faulty.contains(&from.index())) {
            match message {
                Message::ViewChange(c) => {
                    let left = left.entry(*from).or_default();
                    *left = (*left).max(c.new_view.0);
                }
                Message::Vote(v) => {
                    let is_new = votes.insert((*from, v.vote.view, v.vote.height));
                    let is_late = left.get(from).is_some_and(|left| v.vote.view.0 < *left);
                    assert!(!is_new || !is_late, "{from} voted in a view that it had left: {v:?}");
                }
                _ => {}
            }
        }
    }

    /// One chain, and every honest replica that is up executed the same.
    pub fn assert_one_history(&self, faulty: &[usize]) {
        let mut committed = std::collections::BTreeMap::new();
        for (i, host) in self.hosts.iter().enumerate().filter(|(i, _)| !faulty.contains(i)) {
            for event in &host.events {
                if let Event::Committed { height, digest, .. } = event {
                    let first = *committed.entry(*height).or_insert(*digest);
                    assert_eq!(first, *digest, "replica {i} committed another block at {height}");
                }
            }
            let commands = self.commands(i);
            let distinct: std::collections::BTreeSet<_> = commands.iter().collect();
            assert_eq!(distinct.len(), commands.len(), "replica {i} executed a request twice");
        }
    }
}
