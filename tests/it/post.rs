//! How letters leave: by SMTP, never twice, and not lost when a process or the mail server is.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use insula::app::App;
use insula::config::Config;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::letters::{letters_to, settled};
use super::world::{User, World};

async fn invite(admin: &User<'_>, mailbox: &str) {
    let body = json!({ "email": format!("{mailbox}@example.com"), "first_name": "Nina", "last_name": "Rão" });
    admin.post("/api/v1/users", body).await.ok();
}

/// A mail server that keeps what it is sent.
async fn mail_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, letters) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::default()));
    let kept = letters.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(receive(stream, kept.clone()));
        }
    });
    (port, letters)
}

/// As much of RFC 5321 as is spoken to it. Whoever is called `refused` has no mailbox.
async fn receive(stream: TcpStream, letters: Arc<Mutex<Vec<String>>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut letter: Option<String> = None;
    write.write_all(b"220 mail.test\r\n").await.unwrap();
    while let Ok(Some(line)) = lines.next_line().await {
        let reply = match &mut letter {
            Some(text) if line == "." => {
                letters.lock().unwrap().push(std::mem::take(text));
                letter = None;
                "250 taken"
            }
            Some(text) => {
                text.push_str(&line);
                text.push('\n');
                continue;
            }
            None if line == "DATA" => {
                letter = Some(String::new());
                "354 go on"
            }
            None if line.starts_with("RCPT TO:<refused") => "550 no such mailbox refused@example.com",
            None => "250 ok",
        };
        if write.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

fn by(url: String) -> impl FnOnce(Config) -> Config {
    |mut config| {
        config.mail.url = url.into();
        config.mail.from = "Example <no-reply@example.com>".to_owned();
        config
    }
}

#[tokio::test]
async fn letters_are_spoken_to_a_mail_server() {
    let (port, letters) = mail_server().await;
    let world = World::with(by(format!("smtp://127.0.0.1:{port}"))).await;
    let (admin, db) = (world.user("acme", "admin").await, world.superuser().await);
    invite(&admin, "nina").await;
    settled(&db, "acme").await;
    let letters = letters.lock().unwrap().clone();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    for part in [
        "From: Example <no-reply@example.com>",
        "nina@example.com>",
        "Date: ",
        "Message-ID: <",
        "text/plain; charset=utf-8",
    ] {
        assert!(letter.contains(part), "{part}: {letter}");
    }
    let whole = letter.replace("=\n", "").replace("=3D", "=");
    assert!(whole.contains(&format!("{}/accept#insula_lt_", world.app.tenant_url("acme"))), "{whole}");
}

#[tokio::test]
async fn a_letter_that_is_refused_is_tried_again_and_given_up_in_the_end() {
    let (port, letters) = mail_server().await;
    let world = World::with(by(format!("smtp://127.0.0.1:{port}"))).await;
    let (admin, db) = (world.user("acme", "admin").await, world.superuser().await);
    invite(&admin, "refused").await;
    for tries in 1..=5 {
        // While a try is under way the letter is due in two minutes; afterwards sooner or later, but not then.
        let tried = format!(
            "select count(*) from tenant_acme.sys_mail where tries = {tries} and (ended_at is not null
              or due_at - now() not between interval '110 seconds' and interval '120 seconds')"
        );
        while db.query_one(&tried, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        let again =
            "update tenant_acme.sys_mail set due_at = now() where ended_at is null; notify insula, 'mail:tenant_acme'";
        db.batch_execute(again).await.unwrap();
    }
    settled(&db, "acme").await;
    let outcome = db.query_one("select outcome, tries from tenant_acme.sys_mail", &[]).await.unwrap();
    assert_eq!((outcome.get::<_, &str>(0), outcome.get::<_, i32>(1)), ("failed", 5));
    assert!(letters.lock().unwrap().is_empty());
    let state = db.query_one("select state from tenant_acme.sys_user where email like 'refused@%'", &[]).await.unwrap();
    assert_eq!(state.get::<_, &str>(0), "invited", "he can be invited once more");
}

#[tokio::test]
async fn a_mail_server_that_is_down_for_a_night_loses_no_invitation() {
    let world = World::with(|config| config).await;
    let db = world.superuser().await;
    let ends = |kind: &str, refused: bool| {
        format!(
            "insert into tenant_acme.sys_mail (kind, user_id, tries) select '{kind}', id, t
               from generate_series(1, 28) t, (select id from tenant_acme.sys_user limit 1) u;
             set search_path = tenant_acme, insula;
             select sys_mail_end(id, false, {refused}) from sys_mail where kind = '{kind}';
             delete from sys_mail where kind = '{kind}' and ended_at is null and due_at > now() + interval '61 minutes'"
        )
    };
    let given_up = "select min(tries), max(tries) from tenant_acme.sys_mail where outcome = 'failed'";
    for (kind, refused, first) in [("invitation", false, 28), ("invitation", true, 5), ("reset", false, 5)] {
        db.batch_execute(&ends(kind, refused)).await.unwrap();
        let row = db.query_one(given_up, &[]).await.unwrap();
        assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1)), (first, 28), "{kind}");
        let waiting = format!("select count(*) from tenant_acme.sys_mail where ended_at is null and kind = '{kind}'");
        assert_eq!(db.query_one(&waiting, &[]).await.unwrap().get::<_, i64>(0), i64::from(first) - 1);
        db.batch_execute("delete from tenant_acme.sys_mail").await.unwrap();
    }
}

#[tokio::test]
async fn doctor_says_whether_letters_would_leave() {
    let world = World::new().await;
    let (port, _) = mail_server().await;
    let doctor = async |url: &str| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_insula"));
        command.args(["doctor", "--json"]).envs(world.environment()).env("INSULA_MAIL_URL", url);
        let output = command.output().await.unwrap();
        let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let row = rows.into_iter().find(|row| row["check"] == "mail").unwrap();
        (row["state"].as_str().unwrap().to_owned(), row["detail"].as_str().unwrap().to_owned())
    };
    for (url, state) in [
        ("", "warning"),
        ("smtp://u:secret@127.0.0.1", "error"),
        ("smtp://127.0.0.1:9", "error"),
        (&*format!("smtp://127.0.0.1:{port}"), "ok"),
    ] {
        let (found, detail) = doctor(url).await;
        assert!(found == state && !detail.contains("secret"), "{url}: {found} {detail}");
    }
}

#[tokio::test]
async fn what_a_dead_process_left_the_next_one_sends() {
    let world = World::with(by("smtp://127.0.0.1:9".to_owned())).await;
    let (admin, db) = (world.user("acme", "admin").await, world.superuser().await);
    invite(&admin, "nina").await;
    world.app.stop.cancel();
    db.batch_execute("update tenant_acme.sys_mail set due_at = now() - interval '1 second'").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = world.app.config.clone();
    config.mail.url = format!("file:{}", folder.path().display()).into();
    let next = App::start(config).await.unwrap();
    settled(&db, "acme").await;
    let letters = next.mailer.kept(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].to.contains("nina@example.com"));
    next.shut_down().await;
}

#[tokio::test]
async fn two_processes_send_each_letter_once() {
    let world = World::new().await;
    let other = App::start(world.app.config.clone()).await.unwrap();
    let (admin, db) = (world.user("acme", "admin").await, world.superuser().await);
    let mailboxes: Vec<String> = (0..10).map(|n| format!("nina{n}")).collect();
    futures_util::future::join_all(mailboxes.iter().map(|mailbox| invite(&admin, mailbox))).await;
    for mailbox in &mailboxes {
        assert_eq!(letters_to(&world, &db, "acme", &format!("{mailbox}@example.com")).await.len(), 1);
    }
    let tries = db.query("select distinct tries from tenant_acme.sys_mail", &[]).await.unwrap();
    assert_eq!(tries.iter().map(|row| row.get(0)).collect::<BTreeSet<i32>>(), BTreeSet::from([1]));
    other.shut_down().await;
}
