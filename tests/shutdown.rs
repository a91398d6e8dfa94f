//! Does anything stay behind? The only test of its program, because it counts threads and tasks.

mod common;

use common::{append_in_order, start, stop, within};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_cluster_that_was_stopped_leaves_no_task_no_thread_and_no_port() {
    let metrics = tokio::runtime::Handle::current().metrics();
    let (threads_before, tasks_before) = (threads(), metrics.num_alive_tasks());
    let cluster = start(4).await;
    let client = cluster.client().await.expect("a client");
    append_in_order(&client, 0..20).await;
    assert!(threads().len() >= threads_before.len() + 4 * 4, "core, verify, execute and hash");
    let addresses: Vec<_> = cluster
        .members()
        .iter()
        .map(|member| member.address)
        .chain(cluster.client_addresses().to_vec())
        .collect();

    within("the client closes", client.close()).await;
    stop(cluster).await;

    let left: Vec<_> = threads().difference(&threads_before).cloned().collect();
    assert!(left.iter().all(|(_, name)| !name.starts_with("replica-")), "{left:?}");
    assert_eq!(metrics.num_alive_tasks(), tasks_before);
    for address in addresses {
        std::net::UdpSocket::bind(address).expect("the port is free");
    }
}

/// Numbers and names of this process's threads; none where the system does not tell.
fn threads() -> BTreeSet<(String, String)> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return BTreeSet::new() };
    tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            Some((path.file_name()?.to_str()?.to_owned(), name.trim().to_owned()))
        })
        .collect()
}
