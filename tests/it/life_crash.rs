//! Work on a whole tenant fails, panics or dies at every step; afterwards everything is as it was or as it was to be, and
//! the same command does it.

use std::path::PathBuf;
use std::time::Duration;

use insula::ops::{recover, restock};
use tempfile::TempDir;

use crate::program::{failing, insula, invariants};
use crate::provisioning::fresh;
use crate::world::World;

/// How work ends, and whether there is a start of the service before it is tried again.
const ENDS: [[(&str, bool); 3]; 2] =
    [[("error", true), ("panic", false), ("kill", true)], [("error", false), ("panic", true), ("kill", false)]];

struct Story {
    world: World,
    folder: TempDir,
}

/// What happens, each time with another number in the place of `#`.
struct Work<'a> {
    before: &'a [&'a [&'a str]],
    words: &'a [&'a str],
    /// Where it can fail.
    places: &'a [&'a str],
    /// Places behind which the next start finishes it.
    finished: &'a [&'a str],
}

impl Story {
    async fn new() -> Self {
        Self { world: World::new().await, folder: TempDir::new().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// At every place: an error, a panic, the end of the process. Then the next start cleans up, or the command is simply
    /// given again; every second place has these the other way round.
    async fn survives(&self, work: &Work<'_>) {
        let mut number = 0;
        for (at, place) in work.places.iter().enumerate() {
            for (how, restart) in ENDS[at % 2] {
                number += 1;
                let unique = format!("{}{number}", self.world.database.rsplit('_').next().unwrap());
                let fill = |words: &[&str]| words.iter().map(|w| w.replace('#', &unique)).collect::<Vec<_>>();
                for words in work.before {
                    let words = fill(words);
                    insula(&self.world, &words.iter().map(String::as_str).collect::<Vec<_>>()).await.expect(0);
                }
                let words = fill(work.words);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let ran = failing(&self.world, &words, &format!("{place}={how}")).await;
                assert_ne!(ran.code, Some(0), "{place}={how} {}", ran.said);
                self.quiet().await;
                if restart {
                    recover(&self.world.app.platform).await.unwrap();
                    invariants(&self.world).await;
                }
                let again = insula(&self.world, &words).await;
                if work.finished.contains(place) {
                    assert!(again.said.contains("already taken"), "{place}={how} {}", again.said);
                } else {
                    again.expect(0);
                }
                recover(&self.world.app.platform).await.unwrap();
                invariants(&self.world).await;
            }
        }
    }

    /// The server has seen that the process is gone.
    async fn quiet(&self) {
        let db = self.world.superuser().await;
        let sql = "select count(*) from pg_locks where locktype = 'advisory'
            and database = (select oid from pg_database where datname = current_database())";
        for _ in 0..500 {
            if db.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("a lock outlives its process");
    }
}

#[tokio::test]
async fn a_backup_dies() {
    let story = Story::new().await;
    let file = story.file("acme.backup");
    let words = ["tenant", "backup", "acme", "--output", file.to_str().unwrap()];
    let places = ["tenant.backup.save", "tenant.backup.end"];
    story.survives(&Work { before: &[], words: &words, places: &places, finished: &[] }).await;
    insula(&story.world, &["backup", "verify", file.to_str().unwrap()]).await.expect(0);
}

#[tokio::test]
async fn a_restore_dies() {
    let story = Story::new().await;
    let file = story.file("acme.backup");
    insula(&story.world, &["tenant", "backup", "acme", "--output", file.to_str().unwrap()]).await.expect(0);
    let words = ["tenant", "restore", file.to_str().unwrap(), "--confirm=acme"];
    let places = ["tenant.restore.load", "tenant.restore.swap"];
    story.survives(&Work { before: &[], words: &words, places: &places, finished: &[] }).await;
}

#[tokio::test]
async fn taking_a_restore_back_dies() {
    let story = Story::new().await;
    let file = story.file("acme.backup");
    insula(&story.world, &["tenant", "backup", "acme", "--output", file.to_str().unwrap()]).await.expect(0);
    let before: [&[&str]; 1] = [&["tenant", "restore", file.to_str().unwrap(), "--confirm=acme"]];
    let words = ["tenant", "unrestore", "acme", "--confirm=acme"];
    let places = ["tenant.unrestore.swap", "tenant.unrestore.end"];
    story.survives(&Work { before: &before, words: &words, places: &places, finished: &[] }).await;
}

#[tokio::test]
async fn a_restore_as_another_tenant_dies() {
    let story = Story::new().await;
    let file = story.file("acme.backup");
    insula(&story.world, &["tenant", "backup", "acme", "--output", file.to_str().unwrap()]).await.expect(0);
    let words = ["tenant", "restore", file.to_str().unwrap(), "--as", "lazarus-#"];
    let places = ["tenant.restore_as.reserve", "tenant.restore_as.load", "tenant.restore_as.activate"];
    story.survives(&Work { before: &[], words: &words, places: &places, finished: &places[2..] }).await;
}

#[tokio::test]
async fn a_copy_dies() {
    let story = Story::new().await;
    let places = ["tenant.clone.reserve", "tenant.clone.load", "tenant.clone.activate"];
    let words = ["tenant", "clone", "acme", "dolly-#"];
    story.survives(&Work { before: &[], words: &words, places: &places, finished: &places[2..] }).await;
}

#[tokio::test]
async fn an_export_dies() {
    let story = Story::new().await;
    let folder = story.file("data-#");
    let words = ["tenant", "export", "acme", "--output", folder.to_str().unwrap()];
    let places = ["tenant.export.export", "tenant.export.end"];
    story.survives(&Work { before: &[], words: &words, places: &places, finished: &[] }).await;
}

#[tokio::test]
async fn a_purge_dies() {
    let story = Story::new().await;
    let before: [&[&str]; 2] = [
        &["tenant", "create", "doomed-#", "--name", "Doomed", "--plan", "crm", "--owner", "ann@doomed.test"],
        &["tenant", "delete", "doomed-#", "--confirm=doomed-#"],
    ];
    let words = ["tenant", "purge", "doomed-#", "--confirm=doomed-#"];
    let places = ["tenant.purge.erase", "tenant.purge.end"];
    story.survives(&Work { before: &before, words: &words, places: &places, finished: &[] }).await;
}

#[tokio::test]
async fn a_creation_dies() {
    let story = Story::new().await;
    let words = ["tenant", "create", "phoenix-#", "--name", "Phoenix", "--plan", "crm", "--owner", "ann@phoenix.test"];
    let places = ["tenant.create.build", "tenant.create.activate"];
    story.survives(&Work { before: &[], words: &words, places: &places, finished: &places[1..] }).await;
}

#[tokio::test]
async fn moving_into_a_schema_made_in_advance_dies() {
    let story = Story::new().await;
    let age = "update public.tenant_subscriptions set created_at = now() - interval '1 year'";
    story.world.superuser().await.batch_execute(age).await.unwrap();
    restock(&story.world.app.platform, 1, "crm").await.unwrap();
    let name = fresh(&story.world, "nomad");
    let words = ["tenant", "create", &name, "--name", "Nomad", "--plan", "crm", "--owner", "ann@nomad.test"];
    let place = "tenant.create.move_in";
    for how in ["error", "panic", "kill"] {
        let ran = failing(&story.world, &words, &format!("{place}={how}")).await;
        assert_ne!(ran.code, Some(0), "{how} {}", ran.said);
        story.quiet().await;
        invariants(&story.world).await;
    }
    insula(&story.world, &words).await.expect(0);
    let left = "select count(*) from public.ready_schemas";
    let left: i64 = story.world.superuser().await.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "the schema was there all the time");
    invariants(&story.world).await;
}

#[tokio::test]
async fn another_name_and_a_deletion_die() {
    let story = Story::new().await;
    let rename = ["tenant", "rename", "acme", "acme-anew"];
    for (at, (words, place)) in
        [(rename, "tenant.rename.end"), (["tenant", "delete", "acme", "--confirm=acme"], "tenant.delete.end")]
            .iter()
            .enumerate()
    {
        for (how, restart) in ENDS[at] {
            let ran = failing(&story.world, words, &format!("{place}={how}")).await;
            assert_ne!(ran.code, Some(0), "{place}={how} {}", ran.said);
            story.quiet().await;
            if restart {
                recover(&story.world.app.platform).await.unwrap();
            }
            invariants(&story.world).await;
            assert!(story.world.app.tenants.by_subdomain("acme").await.unwrap().in_service().is_ok(), "{place}={how}");
        }
    }
}
