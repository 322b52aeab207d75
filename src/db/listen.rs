//! News from the database: which cached answers changed.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;

use super::Database;

const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_LAST: Duration = Duration::from_secs(2);

/// What a piece of news is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A subdomain or custom domain means another tenant than before.
    Name,
    /// A tenant's row changed.
    Tenant,
    /// A tenant's entitlements changed.
    Modules,
    /// Users, roles, grants or sessions of a schema changed.
    Access,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something changed; the key is a name, a uuid or a schema, `*` for all.
    Changed(Topic, String),
    /// The connection was lost and is back: anything may have changed meanwhile.
    Resync,
}

fn parse(payload: &str) -> Option<News> {
    let (topic, key) = payload.split_once(':')?;
    let topic = match topic {
        "name" => Topic::Name,
        "tenant" => Topic::Tenant,
        "modules" => Topic::Modules,
        "access" => Topic::Access,
        _ => return None,
    };
    Some(News::Changed(topic, key.to_owned()))
}

/// Listens until `stop`, over reconnects, and calls `tell` for each message.
///
/// The first message after every connect is [`News::Resync`]: what was said while nobody listened is lost.
pub async fn listen(database: Database, stop: CancellationToken, tell: impl Fn(News) + Send + 'static) {
    let mut wait = RECONNECT_FIRST;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            lost = hear(&database, &tell, &mut wait) => tracing::warn!(reason = lost, "news connection lost, reconnecting"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RECONNECT_LAST);
    }
}

/// Returns why the connection ended.
async fn hear(database: &Database, tell: &impl Fn(News), wait: &mut Duration) -> String {
    let session = database.endpoint().session("insula news", super::CONTROL_SESSION);
    let (client, mut connection) = match session.connect(database.endpoint().tls()).await {
        Ok(connected) => connected,
        Err(error) => return error.to_string(),
    };
    let (send, mut receive) = mpsc::unbounded_channel();
    let driver = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message
                && send.send(notification.payload().to_owned()).is_err()
            {
                return;
            }
        }
    });
    if let Err(error) = client.batch_execute("listen insula").await {
        return error.to_string();
    }
    *wait = RECONNECT_FIRST;
    tell(News::Resync);
    while let Some(payload) = receive.recv().await {
        match parse(&payload) {
            Some(news) => tell(news),
            None => tracing::warn!(payload, "news nobody understands"),
        }
    }
    drop(driver);
    "the server closed the connection".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_name_a_topic_and_a_key() {
        assert_eq!(parse("access:tenant_acme"), Some(News::Changed(Topic::Access, "tenant_acme".into())));
        assert_eq!(parse("gossip:x"), None);
    }
}
