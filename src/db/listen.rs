//! News from the database: which cached answers changed.

use std::future::poll_fn;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::AsyncMessage;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Database;

/// Silence after which the server is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(1);
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
    /// There is something to send in a schema.
    Mail,
    /// The keys of tokens changed.
    Keys,
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
        "mail" => Topic::Mail,
        "keys" => Topic::Keys,
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
    let limit = Duration::from_millis(database.0.settings.connect_timeout_ms);
    let (client, mut connection) = match within(limit, session.connect(database.endpoint().tls())).await {
        Ok(connected) => connected,
        Err(reason) => return reason,
    };
    let (send, mut receive) = mpsc::unbounded_channel();
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(notification) = message
                && send.send(notification.payload().to_owned()).is_err()
            {
                return;
            }
        }
    }));
    if let Err(reason) = within(limit, client.batch_execute("listen insula")).await {
        return reason;
    }
    *wait = RECONNECT_FIRST;
    tell(News::Resync);
    loop {
        match timeout(SILENCE, receive.recv()).await {
            Ok(Some(payload)) => match parse(&payload) {
                Some(news) => tell(news),
                None => tracing::warn!(payload, "news nobody understands"),
            },
            Ok(None) => return "the server closed the connection".to_owned(),
            Err(_) => {
                if let Err(reason) = within(limit, client.batch_execute("")).await {
                    return reason;
                }
            }
        }
    }
}

/// A connection that leads nowhere looks like one without news, so whatever we ask of it has a time limit.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, String> {
    match timeout(limit, asked).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("the server does not answer".to_owned()),
    }
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
