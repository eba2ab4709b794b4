//! A listener that comes back where it was: every position once, and none left out.

use std::{sync::Arc, time::Duration};

use crate::load::Load;

/// Hears events until the load stops.
pub async fn listen(load: Arc<Load>) {
    let mut last: Option<i64> = None;
    while !load.stopping() {
        let mut request = load.owner.to(&format!("{}/events", load.url));
        if let Some(position) = last {
            request = request.header("last-event-id", position.to_string());
        }
        let Ok(mut answer) = request.send().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if answer.status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        }
        let mut text = String::new();
        // A silent stream must not keep the end of the soak waiting.
        while let Ok(Ok(Some(bytes))) = tokio::time::timeout(Duration::from_secs(15), answer.chunk()).await {
            text.push_str(std::str::from_utf8(&bytes).unwrap());
            while let Some((event, rest)) = text.split_once("\n\n") {
                last = load.heard(event, last);
                text = rest.to_owned();
            }
            if load.stopping() {
                return;
            }
        }
    }
}
