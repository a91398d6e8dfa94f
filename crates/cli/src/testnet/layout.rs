//! Which files make a cluster? `configs/local` was written by this, and a test keeps it so.

use anyhow::{Context as _, Result, bail};
use quorate::Durability;
use quorate::types::{Genesis, Member, ProtocolParameters, Scheme, SecretKey};
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;

use crate::files::{self, CLIENT_KEY, CLUSTER};

/// A cluster on this machine, before it is written.
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) organisations: Vec<String>,
    pub(crate) keys: Vec<SecretKey>,
    pub(crate) client: SecretKey,
    pub(crate) ports: Vec<Ports>,
    pub(crate) durability: Durability,
}

/// Where a replica listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) peers: u16,
    pub(crate) clients: u16,
}

impl Layout {
    /// Writes all files into a directory that is new or empty, and prepares every replica's own.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot make the directory {}", dir.display()))?;
        let mut present = std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
        if present.next().is_some() {
            bail!("{} is not empty and is left as it is; choose another directory", dir.display());
        }
        self.write_files(dir)?;
        for index in 0..self.keys.len() {
            quorate::Replica::init(dir.join(config_of(index)))?;
        }
        Ok(())
    }

    fn write_files(&self, dir: &Path) -> Result<()> {
        files::write_new(&dir.join("genesis.json"), &json(&self.genesis())?)?;
        for (index, key) in self.keys.iter().enumerate() {
            files::write_key(&dir.join(format!("replica-{index}.key")), key)?;
            files::write_new(&dir.join(config_of(index)), &self.config(index))?;
        }
        files::write_key(&dir.join(CLIENT_KEY), &self.client)?;
        let clients: Vec<String> = self.ports.iter().map(|ports| address(ports.clients)).collect();
        let cluster = serde_json::json!({ "genesis": "genesis.json", "replicas": clients });
        files::write_new(&dir.join(CLUSTER), &json(&cluster)?)
    }

    fn genesis(&self) -> Genesis {
        let members = self.keys.iter().zip(&self.organisations);
        let member = |(key, organisation): (&SecretKey, &String)| Member {
            key: key.public(),
            organisation: organisation.clone(),
        };
        Genesis {
            name: self.name.clone(),
            test: true,
            scheme: Scheme::Ed25519,
            replicas: members.map(member).collect(),
            protocol: ProtocolParameters::default(),
            app_version: 0,
            start: None,
        }
    }

    fn config(&self, index: usize) -> String {
        let all: Vec<String> =
            self.ports.iter().map(|ports| format!("\"{}\"", address(ports.peers))).collect();
        let Ports { peers, clients } = self.ports[index];
        format!(
            "# Replica {index} of the {name} test cluster. Paths are relative to this file; unknown keys are errors.\n\
             genesis = \"genesis.json\"\n\
             key = \"replica-{index}.key\"\n\
             \n\
             # Its data and its control socket. Prepared once by `quorate init`.\n\
             dir = \"replica-{index}\"\n\
             \n\
             # What its log survives: \"sync\", a loss of power; \"memory\", nothing, for trying out.\n\
             durability = \"{durability}\"\n\
             \n\
             # Where this replica listens: for the other replicas, and for clients.\n\
             listen_peers = \"{listen_peers}\"\n\
             listen_clients = \"{listen_clients}\"\n\
             \n\
             # Where each replica can be reached by the others, in the order of genesis.\n\
             replicas = [{all}]\n",
            name = self.name,
            durability = self.durability,
            listen_peers = address(peers),
            listen_clients = address(clients),
            all = all.join(", "),
        )
    }
}

/// The name of a replica's configuration.
pub(crate) fn config_of(index: usize) -> String {
    format!("replica-{index}.toml")
}

/// Ports in a row: for replicas from `base`, for clients 100 above.
pub(crate) fn ports_from(base: u16, count: usize) -> Vec<Ports> {
    (base..).take(count).map(|peers| Ports { peers, clients: peers + CLIENTS_ABOVE }).collect()
}

/// Ports that nothing listens on now.
pub(crate) fn free_ports(count: usize) -> Result<Vec<Ports>> {
    let bind = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("the system has no free UDP port");
    // All are held until the last is found, so that none comes twice.
    let held: Vec<UdpSocket> = (0..2 * count).map(|_| bind()).collect::<Result<_>>()?;
    let port = |socket: &UdpSocket| socket.local_addr().map(|address| address.port());
    let pair = |pair: &[UdpSocket]| Ok(Ports { peers: port(&pair[0])?, clients: port(&pair[1])? });
    held.chunks_exact(2).map(pair).collect()
}

fn address(port: u16) -> String {
    format!("{}:{port}", Ipv4Addr::LOCALHOST)
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Ports for clients lie this far above those for replicas.
const CLIENTS_ABOVE: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_in_the_box_are_what_this_writes() {
        let dir = std::env::temp_dir().join(format!("quorate-layout-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let key = |seed| SecretKey::from_seed([seed; 32]);
        let layout = Layout {
            name: "local".to_owned(),
            organisations: ["acme", "beta", "corp", "delta"].map(str::to_owned).into(),
            keys: (1..=4).map(key).collect(),
            client: key(9),
            ports: ports_from(7000, 4),
            durability: Durability::Sync,
        };
        layout.write_files(&dir).expect("it writes");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/local");
        let mut count = 0;
        for entry in std::fs::read_dir(&dir).expect("it reads") {
            let name = entry.expect("an entry").file_name();
            let read = |dir: &Path| std::fs::read_to_string(dir.join(&name)).expect("a text");
            assert_eq!(read(&dir), read(&shipped), "{}", name.display());
            count += 1;
        }
        assert_eq!(count, std::fs::read_dir(shipped).expect("it reads").count());
        std::fs::remove_dir_all(dir).expect("it was there");
    }

    #[test]
    fn free_ports_are_all_different() {
        let ports = free_ports(31).expect("there are some");
        let mut all: Vec<u16> = ports.iter().flat_map(|ports| [ports.peers, ports.clients]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 62);
    }
}
