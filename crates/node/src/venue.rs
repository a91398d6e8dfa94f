//! Where can an attack run? Each place gives an adversary some of what it may need, and says in a sentence what it
//! refuses.

use quorate_attack::Needs;

/// Where attacks run on real replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Venue {
    /// One replica of a [`LocalCluster`](crate::LocalCluster), which has its own key.
    OneReplica,
    /// Several replicas of a [`LocalCluster`](crate::LocalCluster), which have each other's keys.
    Together,
    /// A replica in a process of its own, over its control socket.
    ControlSocket,
}

impl Venue {
    /// Why an attack with these needs cannot run here, in one sentence; nothing if it can.
    #[must_use]
    pub const fn refusal(self, needs: Needs) -> Option<&'static str> {
        if needs.disk {
            return Some(
                "it writes to the replica's disk, which a running replica gives to nobody; run it with `quorate \
                 simulate`, or kill the process and exchange its directory",
            );
        }
        match self {
            Self::OneReplica if needs.colluders => {
                Some("it needs the keys of other traitors; turn them together with `.attack_together(..)`")
            }
            Self::ControlSocket if needs.colluders => Some(
                "it needs the keys of other traitors, and each process has only its own; run it in a `LocalCluster` or \
                 with `quorate simulate`",
            ),
            Self::OneReplica | Self::Together | Self::ControlSocket => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_gives_the_own_key_one_gives_others_and_none_a_disk() {
        let all = [Venue::OneReplica, Venue::Together, Venue::ControlSocket];
        let primary = Needs { primary: true, ..Needs::OWN_KEY };
        assert!(all.iter().all(|venue| venue.refusal(primary).is_none()));
        let colluders = Needs { colluders: true, ..Needs::OWN_KEY };
        let gives = all.iter().filter(|venue| venue.refusal(colluders).is_none());
        assert_eq!(gives.collect::<Vec<_>>(), [&Venue::Together]);
        let disk = Needs { disk: true, ..colluders };
        assert!(all.iter().all(|venue| venue.refusal(disk).is_some_and(|why| why.contains("disk"))));
    }
}
