//! What runs on one established connection? Its lanes: one stream per lane and direction.
//!
//! Each end opens its outgoing streams at once and begins each with the number of the lane. A dialler
//! whose key is refused learns so only after its own handshake has ended, so a connection counts as
//! established when the other end's lanes have arrived, not before.

use quinn::{Connection, SendStream, WriteError};
use std::future::Future;
use std::sync::Arc;
use tokio::task::JoinSet;

use crate::event::Origin;
use crate::frame::{self, FrameReader, Unreadable};
use crate::queue::{Backlog, Queue, Room};
use crate::tasks::Shared;
use crate::{Ending, Reason};

/// A connection whose lanes are open in both directions.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    outgoing: Vec<SendStream>,
    incoming: Vec<FrameReader>,
    queues: Vec<Backlog>,
}

impl Link {
    /// Opens the lanes. On failure the connection is closed with the reason. Also returns the queues
    /// that lead to the lanes.
    pub(crate) async fn open(
        connection: Connection,
        lanes: usize,
        shared: &Shared,
    ) -> Result<(Self, Vec<Queue>), Ending> {
        let opening = open_lanes(&connection, lanes, shared);
        let opened = match tokio::time::timeout(shared.config.handshake_timeout, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(Unreadable::Rejected(Reason::HandshakeTimeout)),
        };
        match opened {
            Ok((outgoing, incoming)) => {
                let (queues, backlogs) = (0..lanes).map(|_| Queue::new(&shared.config)).unzip();
                Ok((Self { connection, outgoing, incoming, queues: backlogs }, queues))
            }
            Err(unreadable) => Err(end(&connection, unreadable).await),
        }
    }

    /// Moves frames in both directions until the connection ends or `stop` says why it must.
    pub(crate) async fn run(
        self,
        origin: Origin,
        shared: &Arc<Shared>,
        stop: impl Future<Output = Reason>,
    ) -> Ending {
        let mut lanes = JoinSet::new();
        for (stream, backlog) in self.outgoing.into_iter().zip(self.queues) {
            lanes.spawn(shared.tracker.track(write_lane(stream, backlog, shared.clone())));
        }
        for reader in self.incoming {
            lanes.spawn(shared.tracker.track(read_lane(reader, origin, shared.clone())));
        }
        let unreadable = tokio::select! {
            biased;
            reason = stop => Unreadable::Rejected(reason),
            _ = self.connection.closed() => Unreadable::ConnectionLost,
            Some(ended) = lanes.join_next() => ended.unwrap_or(Unreadable::Rejected(Reason::Broken)),
        };
        let ending = end(&self.connection, unreadable).await;
        lanes.shutdown().await;
        ending
    }
}

/// Closes a connection with a reason, so that the other end can name it.
pub(crate) fn close(connection: &Connection, reason: Reason) -> Ending {
    connection.close(reason.code(), reason.name().as_bytes());
    Ending::ours(reason)
}

async fn end(connection: &Connection, unreadable: Unreadable) -> Ending {
    match unreadable {
        Unreadable::Rejected(reason) => close(connection, reason),
        Unreadable::ConnectionLost => connection.closed().await.into(),
    }
}

async fn open_lanes(
    connection: &Connection,
    lanes: usize,
    shared: &Shared,
) -> Result<(Vec<SendStream>, Vec<FrameReader>), Unreadable> {
    let mut outgoing = Vec::with_capacity(lanes);
    let mut incoming = Vec::with_capacity(lanes);
    for lane in 0..lanes {
        let mut stream = connection.open_uni().await.map_err(|_| Unreadable::ConnectionLost)?;
        // The first lane goes first whenever both have something to send.
        let priority = i32::try_from(lanes - lane).expect("lanes are few");
        stream.set_priority(priority).map_err(|_| Unreadable::ConnectionLost)?;
        let number = u8::try_from(lane).expect("lanes are few");
        stream.write_all(&[number]).await.map_err(|error| on_write_error(&error))?;
        outgoing.push(stream);
    }
    for lane in 0..lanes {
        let stream = connection.accept_uni().await.map_err(|_| Unreadable::ConnectionLost)?;
        let mut reader = FrameReader::new(stream, shared.config.limits);
        if usize::from(reader.lane_number().await?) != lane {
            return Err(Unreadable::Rejected(Reason::LaneUnexpected));
        }
        incoming.push(reader);
    }
    Ok((outgoing, incoming))
}

async fn write_lane(mut stream: SendStream, mut backlog: Backlog, shared: Arc<Shared>) -> Unreadable {
    let mut frames = Vec::new();
    let mut chunks = Vec::new();
    while backlog.next(&mut frames).await {
        let count = frames.len();
        let bytes = frames.iter().map(frame::len).sum();
        frame::gather(&mut frames, &mut chunks);
        if let Err(error) = stream.write_all_chunks(&mut chunks).await {
            return on_write_error(&error);
        }
        backlog.written(bytes);
        shared.tally.on_sent(count, bytes);
    }
    // The queues outlive the link, unless the whole endpoint is going away.
    Unreadable::Rejected(Reason::Shutdown)
}

async fn read_lane(mut reader: FrameReader, origin: Origin, shared: Arc<Shared>) -> Unreadable {
    let room = Room::new(&shared.config);
    loop {
        let lengths = match reader.lengths().await {
            Ok(lengths) => lengths,
            Err(unreadable) => return unreadable,
        };
        let permit = room.enter(lengths.total()).await;
        let frame = match reader.frame(lengths).await {
            Ok(frame) => frame,
            Err(unreadable) => return unreadable,
        };
        shared.tally.on_received(lengths.total());
        if shared.events.send(origin.frame(frame, permit)).await.is_err() {
            return Unreadable::Rejected(Reason::Shutdown);
        }
    }
}

fn on_write_error(error: &WriteError) -> Unreadable {
    match error {
        WriteError::Stopped(_) => Unreadable::Rejected(Reason::LaneEnded),
        _ => Unreadable::ConnectionLost,
    }
}
