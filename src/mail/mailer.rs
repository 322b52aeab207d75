//! By which way letters leave.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::{Mailbox, header};
use lettre::transport::smtp::{self, PoolConfig};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Letter;
use super::folder::{self, Kept};
use crate::config::{self, Config};
use crate::error::{Error, Result};

/// Longest silence of the mail server.
const SILENCE: Duration = Duration::from_secs(15);
/// Longest time for a letter. Less than for how long a letter is one process's (`sys_mail_take`).
const LONGEST: Duration = Duration::from_secs(60);
/// Connections to the mail server at once.
const CONNECTIONS: u32 = 4;

enum Way {
    Off,
    Folder(PathBuf),
    Smtp(AsyncSmtpTransport<Tokio1Executor>),
}

/// Sends letters from one sender by one way.
pub struct Mailer {
    way: Way,
    from: Mailbox,
}

/// Why a letter did not leave, without saying to whom or what it was about.
#[derive(Debug)]
pub struct Undelivered {
    why: String,
    /// Whether it will never leave: somebody refuses it, who can be asked again, but not for long.
    pub for_good: bool,
}

impl Undelivered {
    fn now(why: impl Into<String>) -> Self {
        Self { why: why.into(), for_good: false }
    }

    fn for_good(why: &str) -> Self {
        Self { why: why.to_owned(), for_good: true }
    }
}

impl std::fmt::Display for Undelivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.why)
    }
}

impl Mailer {
    /// A mailer as configured.
    ///
    /// # Errors
    /// `bad_request` that names the setting at fault, without its secrets.
    pub fn new(config: &Config) -> Result<Self> {
        let sender = match config.mail.from.as_str() {
            "" => format!("Insula <no-reply@{}>", config.domain),
            from => from.to_owned(),
        };
        let from = sender.parse().map_err(|_| {
            bad("from", "must be an e-mail address, such as no-reply@example.com or Example <no-reply@example.com>")
        })?;
        Ok(Self { way: way(&config.mail)?, from })
    }

    /// Whether letters leave at all.
    pub fn is_on(&self) -> bool {
        !matches!(self.way, Way::Off)
    }

    /// Sends a letter, or says why it did not leave; then it may have left all the same, but most likely has not.
    pub async fn send(&self, letter: Letter) -> Result<(), Undelivered> {
        match &self.way {
            Way::Off => Err(Undelivered::now("no mail is configured")),
            Way::Folder(folder) => {
                let (folder, from) = (folder.clone(), self.from.to_string());
                let written = spawn_blocking(move || folder::write(&folder, &from, &letter)).await;
                let unwritten = |error: &dyn std::fmt::Display| Undelivered::now(error.to_string());
                written.map_err(|error| unwritten(&error))?.map_err(|error| unwritten(&error))
            }
            Way::Smtp(transport) => {
                let message = self.message(letter)?;
                match timeout(LONGEST, transport.send(message)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(reason(&error)),
                    Err(_) => Err(Undelivered::now("the mail server takes too long")),
                }
            }
        }
    }

    /// By which way letters would leave now, for people; asks the mail server, and sends nothing.
    pub async fn probe(&self) -> Result<String, Undelivered> {
        match &self.way {
            Way::Off => Err(Undelivered::now("no mail is configured")),
            Way::Folder(folder) => Ok(format!("letters are written into {}", folder.display())),
            Way::Smtp(transport) => match timeout(SILENCE, transport.test_connection()).await {
                Ok(Ok(true)) => Ok("the mail server answers".to_owned()),
                Ok(Err(error)) => Err(reason(&error)),
                Ok(Ok(false)) | Err(_) => Err(Undelivered::now("the mail server does not answer")),
            },
        }
    }

    /// The newest letters, the newest first, where they are kept.
    pub async fn kept(&self, most: usize) -> Result<Vec<Kept>> {
        let Way::Folder(folder) = &self.way else { return Err(Error::not_found()) };
        let folder = folder.clone();
        spawn_blocking(move || folder::read(&folder, most)).await.map_err(Error::internal)?.map_err(Error::internal)
    }

    fn message(&self, letter: Letter) -> Result<Message, Undelivered> {
        let unfit = |_| Undelivered::for_good("the address or the text cannot be sent");
        let address: Address = letter.email.parse().map_err(|_| Undelivered::for_good("the address cannot be used"))?;
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(Some(on_one_line(&letter.name)), address))
            .subject(on_one_line(&letter.subject))
            .message_id(None)
            .header(header::ContentType::TEXT_PLAIN)
            .body(letter.text)
            .map_err(unfit)
    }
}

/// Headers end with their line.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// What the server says may hold the address; its code does not.
fn reason(error: &smtp::Error) -> Undelivered {
    let why = match (error.status(), error.is_timeout()) {
        (Some(code), _) => format!("the mail server refuses it with code {code}"),
        (None, true) => "the mail server does not answer".to_owned(),
        (None, false) if error.is_client() => "the mail server cannot do what is needed".to_owned(),
        (None, false) => "the mail server cannot be reached".to_owned(),
    };
    Undelivered { why, for_good: error.is_permanent() }
}

fn way(settings: &config::Mail) -> Result<Way> {
    let url = settings.url.expose();
    if url.is_empty() {
        return Ok(Way::Off);
    }
    if let Some(folder) = url.strip_prefix("file:") {
        return match folder.trim_start_matches("//") {
            "" => Err(bad("url", "must name a folder after file:")),
            folder => Ok(Way::Folder(folder.into())),
        };
    }
    let secure = url.starts_with("smtps://") || url.contains("tls=required");
    if !secure && url.contains('@') {
        return Err(bad("url", "would send the password in the clear; it needs smtps:// or ?tls=required"));
    }
    let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url)
        .map_err(|_| bad("url", "must begin with smtp://, smtps:// or file:, and name a host or a folder"))?;
    let pool = PoolConfig::new().max_size(CONNECTIONS);
    Ok(Way::Smtp(transport.timeout(Some(SILENCE)).pool_config(pool).build()))
}

fn bad(key: &str, why: &str) -> Error {
    Error::malformed(format!("The setting `mail.{key}` {why}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn mailer(url: &str, from: &str) -> Result<Mailer> {
        let layers = Layers::collect(None).unwrap().with("mail.url", url).with("mail.from", from);
        Mailer::new(&layers.with("domain", "insula.test").read().unwrap())
    }

    fn refusal(url: &str, from: &str) -> String {
        mailer(url, from).err().map_or_else(String::new, |error| error.message().into_owned())
    }

    #[tokio::test]
    async fn settings_that_cannot_work_are_refused_without_their_password() {
        for url in
            ["smtp://u:secret@mail.test", "smtp://u:secret@mail.test?tls=opportunistic", "ftp://mail.test", "file:"]
        {
            let said = refusal(url, "");
            assert!(said.starts_with("The setting `mail.url` ") && !said.contains("secret"), "{url}: {said}");
        }
        assert!(refusal("", "nobody").starts_with("The setting `mail.from` "));
        for url in
            ["smtps://u:secret@mail.test", "smtp://u:secret@mail.test:587?tls=required", "smtp://relay", "file:x"]
        {
            assert_eq!(refusal(url, "Example <no-reply@example.com>"), "", "{url}");
        }
        assert!(!mailer("", "").unwrap().is_on());
    }

    #[tokio::test]
    async fn a_name_becomes_no_header_of_its_own() {
        let letter = Letter {
            name: "Eve\r\nBcc: all@evil.test".into(),
            email: "eve@example.com".into(),
            subject: "News\r\nBcc: all@evil.test".into(),
            text: "Grüße\n".into(),
        };
        let message = mailer("smtp://relay", "").unwrap().message(letter).unwrap();
        assert_eq!(message.envelope().to().len(), 1);
        let text = String::from_utf8(message.formatted()).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.contains("From: Insula <no-reply@insula.test>"), "{head}");
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(
            mailer("smtp://relay", "")
                .unwrap()
                .message(Letter {
                    name: String::new(),
                    email: "eve@example.com\r\nRCPT TO:<all@evil.test>".into(),
                    subject: String::new(),
                    text: String::new(),
                })
                .is_err()
        );
    }

    #[tokio::test]
    async fn what_is_kept_is_read_with_the_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        let mailer = mailer(&format!("file:{}", folder.path().join("a/b").display()), "").unwrap();
        assert!(mailer.kept(9).await.unwrap().is_empty());
        for subject in ["one", "two", "three"] {
            let (name, email, text) = ("Ann".to_owned(), "ann@example.com".to_owned(), "Hello.".to_owned());
            mailer.send(Letter { name, email, subject: subject.to_owned(), text }).await.unwrap();
        }
        let kept = mailer.kept(2).await.unwrap();
        let subjects: Vec<&str> = kept.iter().map(|letter| letter.subject.as_str()).collect();
        assert_eq!((subjects, kept[0].to.as_str()), (vec!["three", "two"], "Ann <ann@example.com>"));
    }
}
