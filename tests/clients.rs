//! What do clients get? Exactly-once execution, shared signatures, and three kinds of errors.

mod common;

use common::{Command, Journal, Reply, append_in_order, list, start, stop, within};
use quorate::prelude::*;
use quorate::types::{ReplicaId, SecretKey};
use quorate::{ClientOptions, RejectedWhy};
use std::time::Duration;

#[tokio::test]
async fn two_clients_see_one_order() {
    let cluster = start(4).await;
    let one = cluster.client().await.expect("a client");
    let other = cluster.client().await.expect("a client");
    let submit_all = |client: Client<Journal>, numbers: std::ops::Range<u64>| {
        tokio::spawn(async move {
            for number in numbers {
                within("a request", client.submit(Command::Append(number))).await.expect("it finishes");
            }
        })
    };
    let (first, second) = (submit_all(one.clone(), 0..40), submit_all(other.clone(), 100..140));
    first.await.expect("no panic");
    second.await.expect("no panic");

    let numbers = list(&one).await;
    assert_eq!(numbers, list(&other).await);
    let of =
        |range: std::ops::Range<u64>| numbers.iter().copied().filter(move |number| range.contains(number));
    assert!(of(0..40).eq(0..40), "one client's requests in its order: {numbers:?}");
    assert!(of(100..140).eq(100..140), "the other's too: {numbers:?}");
    assert_eq!(numbers.len(), 80);
    stop(cluster).await;
}

#[tokio::test]
async fn a_retry_gives_the_same_reply_and_no_second_effect() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    let first = within("a request", client.submit(Command::Append(7))).await.expect("it finishes");
    append_again(&client, first.id, &first).await;
    within("a request", client.submit(Command::Append(8))).await.expect("it finishes");
    append_again(&client, first.id, &first).await;
    assert_eq!(list(&client).await, [7, 8]);
    stop(cluster).await;
}

#[tokio::test]
async fn a_retry_from_another_process_with_the_key_finds_the_first_run() {
    let cluster = start(4).await;
    let key = SecretKey::from_seed([42; 32]);
    let connect = || {
        let options = ClientOptions::default();
        Client::<Journal>::start(cluster.genesis(), cluster.client_addresses(), key.clone(), &options)
    };
    let client = connect().expect("a client");
    let first = within("a request", client.submit(Command::Append(7))).await.expect("it finishes");
    within("it closes", client.close()).await;

    let successor = connect().expect("a client");
    append_again(&successor, first.id, &first).await;
    assert_eq!(list(&successor).await, [7]);

    let stranger = cluster.client().await.expect("a client");
    let error = stranger.retry(first.id, Command::Append(7)).await.expect_err("another key's id");
    assert_eq!(error, SubmitError::Rejected { why: RejectedWhy::ForeignSession });
    stop(cluster).await;
}

async fn append_again(client: &Client<Journal>, id: quorate::RequestId, first: &Submitted<Reply>) {
    let again = within("a retry", client.retry(id, Command::Append(7))).await.expect("it finishes");
    assert_eq!((again.id, again.height, &again.reply), (first.id, first.height, &first.reply));
}

#[tokio::test]
async fn requests_that_are_submitted_together_share_signatures() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..1).await;
    let before = client.stats();
    let requests: Vec<_> = (1..=512)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move { client.submit(Command::Append(number)).await })
        })
        .collect();
    for request in requests {
        within("a request", request).await.expect("no panic").expect("it finishes");
    }
    let signatures = client.stats().signatures - before.signatures;
    assert!(signatures <= 512 / 8, "{signatures} signatures for 512 requests");
    let mut numbers = list(&client).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=512).collect::<Vec<_>>(), "each ran once");
    stop(cluster).await;
}

#[tokio::test]
async fn a_submission_that_is_given_up_leaves_the_client_healthy() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..1).await;
    for _ in 0..200 {
        let given_up = tokio::time::timeout(Duration::ZERO, client.submit(Command::Pad(vec![1; 100]))).await;
        drop(given_up);
    }
    append_in_order(&client, 1..5).await;
    stop(cluster).await;
}

#[tokio::test]
async fn what_is_too_large_is_rejected_before_anything_is_sent() {
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    let bytes_max = cluster.genesis().protocol.command_bytes_max as usize;
    let error = client.submit(Command::Pad(vec![0; bytes_max])).await.expect_err("too large");
    assert_eq!(error, SubmitError::Rejected { why: RejectedWhy::TooLarge });
    assert_eq!(client.stats().submitted, 0);
    let largest = client.submit(Command::Pad(vec![0; bytes_max - 8]));
    assert_eq!(within("the largest command", largest).await.expect("it fits").reply, Reply::Nothing);
    stop(cluster).await;
}

#[tokio::test]
async fn without_a_quorum_of_replicas_nothing_is_sent_and_the_client_says_who_is_missing() {
    let cluster = start(4).await;
    for replica in [1, 3] {
        within("a replica stops", cluster.replica(replica).stop()).await.expect("it stops");
    }
    let options = ClientOptions { deadline: Duration::from_secs(2), ..ClientOptions::default() };
    let client = cluster.client_with(&options).await.expect("a client");
    let error =
        within("the deadline passes", client.submit(Command::Append(0))).await.expect_err("no quorum");
    let missing = vec![ReplicaId(1), ReplicaId(3)];
    assert_eq!(error, SubmitError::NoQuorum { reached: 2, needed: 3, missing });

    within("a replica restarts", cluster.replica(1).restart()).await.expect("it restarts");
    append_in_order(&client, 0..3).await;
    stop(cluster).await;
}
