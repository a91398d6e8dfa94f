//! An auction: the highest bid wins, the first of equal ones, and nobody's money is in two bids at once.
//!
//! `cargo run --example auction` runs it on four replicas; `cargo test --example auction` attacks it.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use quorate::prelude::*;
use std::collections::BTreeMap;

/// One auction, and the money of those who bid.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Auction {
    purses: BTreeMap<String, u64>,
    /// The money of this bid is in no purse.
    leading: Option<Bid>,
    is_closed: bool,
}

/// What somebody offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bid {
    bidder: String,
    amount: u64,
}

/// What clients ask for.
#[derive(Clone, Serialize, Deserialize)]
pub enum Ask {
    /// To take this bid.
    Offer(Bid),
    /// To take no more.
    Close,
}

impl Auction {
    /// Three bidders with 100 each.
    pub fn open() -> Self {
        let purses = ["alice", "bob", "carol"].map(|name| (name.to_owned(), 100));
        Self { purses: purses.into(), ..Self::default() }
    }
    /// All the money there is.
    pub fn money(&self) -> u64 {
        self.purses.values().sum::<u64>() + self.leading.as_ref().map_or(0, |bid| bid.amount)
    }

    fn offer(&mut self, bid: Bid) -> bool {
        let is_higher = self.leading.as_ref().is_none_or(|leading| bid.amount > leading.amount);
        if self.is_closed || !is_higher {
            return false;
        }
        // The money of one's own leading bid counts too.
        if let Some(outbid) = self.leading.take() {
            *self.purses.entry(outbid.bidder.clone()).or_default() += outbid.amount;
            if self.pay(&bid) {
                self.leading = Some(bid);
                return true;
            }
            self.pay(&outbid);
            self.leading = Some(outbid);
            return false;
        }
        let is_paid = self.pay(&bid);
        self.leading = is_paid.then_some(bid);
        is_paid
    }

    fn pay(&mut self, bid: &Bid) -> bool {
        match self.purses.get_mut(&bid.bidder) {
            Some(purse) if *purse >= bid.amount => {
                *purse -= bid.amount;
                true
            }
            _ => false,
        }
    }
}

impl StateMachine for Auction {
    type Command = Ask;
    /// Whether the bid leads; for `Close`, whether there is a winner.
    type Reply = bool;
    type Query = ();
    type Answer = Option<Bid>;

    fn apply(&mut self, ask: Ask, _: &Context) -> bool {
        match ask {
            Ask::Offer(bid) => self.offer(bid),
            Ask::Close => {
                self.is_closed = true;
                self.leading.is_some()
            }
        }
    }

    fn query(&self, (): ()) -> Option<Bid> {
        self.leading.clone()
    }
}

fn offer(bidder: &str, amount: u64) -> Ask {
    Ask::Offer(Bid { bidder: bidder.to_owned(), amount })
}

#[tokio::main]
async fn main() -> quorate::Result<()> {
    let cluster = LocalCluster::start(4, Auction::open).await?;
    let client = cluster.client().await?;
    println!("{}", client.submit(offer("alice", 40)).await?.reply); // true
    println!("{}", client.submit(offer("bob", 30)).await?.reply); // false: too low
    println!("{}", client.submit(Ask::Close).await?.reply); // true: there is a winner
    cluster.stop().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate::lab::*;

    #[quorate::attack_test(replicas = 4, seeds = 0..64, start = Auction::open, faults = "all")]
    fn the_highest_bid_wins(sim: &mut Sim<Auction>) -> SimResult {
        sim.byzantine(1, attack::forge_view_change().and(attack::lie_to_clients()));
        let mut asked = Vec::new();
        for amount in 1..=10 {
            for name in ["alice", "bob", "carol"] {
                asked.push((name, amount * 10, sim.client(name).submit(offer(name, amount * 10))));
            }
        }
        sim.run_until(seconds(2))?;
        sim.replica(2).restart(); // in the middle of it
        sim.heal();
        sim.run_until(|sim: &Sim<Auction>| sim.is_idle())?;
        sim.client("alice").submit(Ask::Close);
        sim.check(safety())?.check(live(5.requests()).within(seconds(20)))?;
        sim.settle()?;

        // Whoever was told that it leads was outbid by somebody higher, or has won.
        let led = asked.into_iter().filter(|(name, _, ticket)| sim.reply(name, *ticket) == Some(true));
        let highest = led.map(|(_, amount, _)| amount).max();
        sim.check_state(|auction| auction.money() == 300)?;
        sim.check_state(|auction| auction.leading.as_ref().map(|bid| bid.amount) == highest)?;
        sim.check_state(|auction| auction.is_closed && highest == Some(100))
    }
}
