//! Contacts, organizations and activities, and who may set up pipelines.

use insta::assert_snapshot;
use serde_json::{Value, json};
use uuid::Uuid;

use super::crm_story::{Office, made, refusal};

#[tokio::test]
async fn an_address_belongs_to_one_active_contact() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let body = json!({ "first_name": "Asha", "email": "Asha@Example.com" });
    let first = made(sales1.post("/api/v1/contacts", body).await);
    let second = json!({ "first_name": "Usha", "email": "asha@example.COM" });
    let conflict = sales1.post("/api/v1/contacts", second.clone()).await;
    assert_snapshot!(refusal(&conflict), @r"
    409 conflict: email is already used by another contact.
      #/email already_used: is already used by another contact
    ");
    // An archived contact gives its address free, and cannot come back while another uses it.
    let path = format!("/api/v1/contacts/{first}");
    let archived = sales1.post(&format!("{path}/actions/archive"), json!({})).await.ok();
    assert_eq!(archived["state"], "archived");
    let second = made(sales1.post("/api/v1/contacts", second).await);
    let restored = sales1.post(&format!("{path}/actions/restore"), json!({})).await;
    assert_eq!(refusal(&restored), refusal(&conflict));
    let moved = sales1.patch(&path, json!({ "email": "other@example.com" })).await.ok();
    assert_eq!(moved["email"], "other@example.com");
    assert_eq!(sales1.post(&format!("{path}/actions/restore"), json!({})).await.ok()["state"], "active");
    let back = sales1.patch(&path, json!({ "email": "ASHA@example.com" })).await;
    assert_eq!(refusal(&back), refusal(&conflict));
    assert_eq!(sales1.get(&format!("/api/v1/contacts/{second}")).await.ok()["email"], "asha@example.COM");
}

#[tokio::test]
async fn a_domain_belongs_to_one_active_organization() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let body = json!({ "name": "Pepper", "domain": "pepper.example" });
    let first = made(sales1.post("/api/v1/organizations", body.clone()).await);
    assert_snapshot!(refusal(&sales1.post("/api/v1/organizations", body.clone()).await), @r"
    409 conflict: domain is already used by another organization.
      #/domain already_used: is already used by another organization
    ");
    let path = format!("/api/v1/organizations/{first}/actions");
    assert_eq!(sales1.post(&format!("{path}/archive"), json!({})).await.ok()["state"], "archived");
    assert_snapshot!(refusal(&sales1.post(&format!("{path}/archive"), json!({})).await),
        @"409 wrong_state: The record is archived, not active.");
    made(sales1.post("/api/v1/organizations", body).await);
    assert_eq!(sales1.post(&format!("{path}/restore"), json!({})).await.status, 409);
}

#[tokio::test]
async fn what_makes_a_contact_valid() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let mut said = String::new();
    for body in [
        json!({ "first_name": "Nobody" }),
        json!({ "first_name": "  ", "email": "a@b.example" }),
        json!({ "first_name": "A", "email": "a b@c.example" }),
        json!({ "first_name": "A", "phone": "080 1234" }),
        json!({ "email": "a@b.example" }),
        json!({ "first_name": "A", "email": "a@b.example", "state": "archived" }),
    ] {
        said.push_str(&refusal(&sales1.post("/api/v1/contacts", body).await));
        said.push('\n');
    }
    assert_snapshot!(said, @r"
    422 validation_failed: 3 fields need attention.
      #/email invalid_value: one of e-mail, phone and organization is needed
      #/phone invalid_value: one of e-mail, phone and organization is needed
      #/organization_id invalid_value: one of e-mail, phone and organization is needed
    422 validation_failed: 1 field needs attention.
      #/first_name invalid_value: must have 1 to 100 characters
    422 validation_failed: 1 field needs attention.
      #/email invalid_value: must be a valid e-mail address
    422 validation_failed: 1 field needs attention.
      #/phone invalid_value: must be an international number such as +919876543210
    422 validation_failed: 1 field needs attention.
      #/first_name required: is required
    422 validation_failed: 1 field needs attention.
      #/state read_only: cannot be set
    ");
}

#[tokio::test]
async fn two_contacts_become_one() {
    let office = Office::open().await;
    let (manager, sales1) = (office.user("manager").await, office.user("sales1").await);
    let (me, other) = (office.id("sales1").await, office.id("sales2").await);
    let keep = json!({ "first_name": "Leela", "phone": "+918012340001", "title": "Buyer", "owner_id": me });
    let keep = made(manager.post("/api/v1/contacts", keep).await);
    let drop = json!({ "first_name": "Lila", "last_name": "Bose", "email": "lila@bose.example", "title": "Clerk",
        "do_not_contact": true, "owner_id": other });
    let drop = made(manager.post("/api/v1/contacts", drop).await);
    let deal = made(manager.post("/api/v1/deals", json!({ "title": "Of Lila", "contact_id": drop })).await);
    let call = json!({ "kind": "call", "subject": "With Lila", "contact_id": drop });
    let call = made(manager.post("/api/v1/activities", call).await);

    let merge = format!("/api/v1/contacts/{keep}/actions/merge");
    let input = json!({ "drop_id": drop });
    assert_eq!(sales1.post(&merge, input.clone()).await.problem(403)["code"], "forbidden");
    assert_eq!(
        manager.post(&merge, json!({ "drop_id": keep })).await.problem(422)["errors"][0]["code"],
        "same_contact"
    );
    let one = manager.post(&merge, input.clone()).await.ok();
    let kept = ["first_name", "last_name", "email", "phone", "title", "state"].map(|name| one[name].as_str().unwrap());
    assert_eq!(kept, ["Leela", "Bose", "lila@bose.example", "+918012340001", "Buyer", "active"]);
    assert_eq!((&one["do_not_contact"], &one["owner_id"]), (&json!(true), &json!(me)));

    for path in [format!("deals/{deal}"), format!("activities/{call}")] {
        assert_eq!(manager.get(&format!("/api/v1/{path}")).await.ok()["contact_id"], keep);
    }
    let path = format!("/api/v1/contacts/{drop}");
    let dropped = manager.get(&path).await.ok();
    assert_eq!((&dropped["state"], &dropped["merged_into"]), (&json!("merged"), &json!(keep)));
    // The merged one is a pointer only.
    assert_eq!(manager.post(&merge, input).await.problem(409)["code"], "wrong_state");
    assert_eq!(manager.patch(&path, json!({ "title": "Ghost" })).await.problem(409)["code"], "frozen");
    assert_eq!(manager.post(&format!("{path}/actions/restore"), json!({})).await.problem(409)["code"], "wrong_state");
    let deal = manager.post("/api/v1/deals", json!({ "title": "Ghost", "contact_id": drop })).await;
    assert_eq!(deal.problem(422)["errors"][0]["pointer"], "#/contact_id");
}

#[tokio::test]
async fn activities_are_done_with_an_outcome_once() {
    let office = Office::open().await;
    let sales1 = office.user("sales1").await;
    let contact = made(sales1.post("/api/v1/contacts", json!({ "first_name": "Kim", "phone": "+918012340002" })).await);
    let mut said = String::new();
    for body in [
        json!({ "kind": "call", "subject": "About nothing" }),
        json!({ "kind": "task", "subject": "Some time", "contact_id": contact }),
        json!({ "kind": "fax", "subject": "Old", "contact_id": contact }),
        json!({ "kind": "call", "subject": "Mute", "contact_id": contact, "done_at": "2026-01-01T10:00:00Z" }),
    ] {
        said.push_str(refusal(&sales1.post("/api/v1/activities", body).await).split_once('\n').unwrap().1);
        said.push('\n');
    }
    assert_snapshot!(said, @r"
      #/deal_id invalid_value: one of deal, contact and organization is needed
      #/contact_id invalid_value: one of deal, contact and organization is needed
      #/organization_id invalid_value: one of deal, contact and organization is needed
      #/kind invalid_value: is needed for a task
      #/due_at invalid_value: is needed for a task
      #/kind invalid_value: must be call, meeting, email, task or note
      #/done_at invalid_value: is needed when a call or meeting is done
      #/kind invalid_value: is needed when a call or meeting is done
      #/outcome invalid_value: is needed when a call or meeting is done
    ");
    let call = json!({ "kind": "call", "subject": "Hello", "contact_id": contact });
    let call = format!("/api/v1/activities/{}/actions/complete", made(sales1.post("/api/v1/activities", call).await));
    assert_snapshot!(refusal(&sales1.post(&call, json!({})).await), @r"
    422 validation_failed: 1 field needs attention.
      #/outcome outcome: is needed when a call or meeting is done
    ");
    let done = sales1.post(&call, json!({ "outcome": "Wants a visit" })).await.ok();
    assert_eq!(done["outcome"], "Wants a visit");
    assert_eq!(done["done_at"], done["updated_at"]);
    assert_snapshot!(refusal(&sales1.post(&call, json!({ "outcome": "Again" })).await),
        @"409 done: The activity is already done.");
    let mail = json!({ "kind": "email", "subject": "Thanks", "contact_id": contact });
    let mail = format!("/api/v1/activities/{}/actions/complete", made(sales1.post("/api/v1/activities", mail).await));
    // An action without input needs no body.
    let done = sales1.request(reqwest::Method::POST, &mail).send().await.ok();
    assert!(done["done_at"].is_string() && done["outcome"].is_null());
    let note = json!({ "kind": "note", "subject": "Likes tea", "contact_id": contact });
    let note = sales1.post("/api/v1/activities", note).await.ok();
    assert_eq!(note["done_at"], note["created_at"], "a note is done when it is written");
}

#[tokio::test]
async fn a_contact_becomes_a_customer_only_where_customers_are_kept() {
    let office = Office::open().await;
    let (owner, admin) = (office.user("owner").await, office.user("admin").await);
    let contact = made(owner.post("/api/v1/contacts", json!({ "first_name": "Noor", "phone": "+918012340003" })).await);
    let convert = format!("/api/v1/contacts/{contact}/actions/convert_to_customer");
    assert_snapshot!(refusal(&admin.post(&convert, json!({})).await), @"403 forbidden: Your role does not allow this.");
    assert_snapshot!(refusal(&owner.post(&convert, json!({})).await),
        @"409 no_won_deal: Only a contact with a won deal becomes a customer.");
    let deal = json!({ "title": "Won", "contact_id": contact, "amount": "10", "stage_id": office.stage("Won").await });
    let deal = made(owner.post("/api/v1/deals", deal).await);
    assert_snapshot!(refusal(&owner.post(&convert, json!({})).await),
        @"409 module_not_enabled: Customers need a module that is not enabled for your account.");
    assert_eq!(owner.get(&format!("/api/v1/deals/{deal}")).await.ok()["party_id"], Value::Null);
}

#[tokio::test]
async fn what_is_still_used_stays() {
    let office = Office::open().await;
    let manager = office.user("manager").await;
    let organization = made(manager.post("/api/v1/organizations", json!({ "name": "Kept" })).await);
    let contact = json!({ "first_name": "Used", "organization_id": organization });
    let contact = made(manager.post("/api/v1/contacts", contact).await);
    let deal = made(manager.post("/api/v1/deals", json!({ "title": "Uses", "contact_id": contact })).await);
    let email = json!({ "kind": "email", "subject": "Uses", "deal_id": deal });
    let email = made(manager.post("/api/v1/activities", email).await);
    let chain = [
        (format!("organizations/{organization}"), "This record is still used by contacts."),
        (format!("contacts/{contact}"), "This record is still used by deals."),
        (format!("deals/{deal}"), "This record is still used by activities."),
        (format!("activities/{email}"), ""),
    ];
    for (path, sentence) in &chain[..3] {
        let problem = manager.delete(&format!("/api/v1/{path}")).await.problem(409);
        assert_eq!((&problem["code"], &problem["detail"]), (&json!("conflict"), &json!(sentence)));
    }
    for (path, _) in chain.iter().rev() {
        let path = format!("/api/v1/{path}");
        let gone = manager.delete(&path).await;
        assert_eq!((gone.status.as_u16(), gone.text.as_str()), (204, ""));
        manager.get(&path).await.problem(404);
        manager.delete(&path).await.problem(404);
    }
    assert_eq!(
        office
            .text("select count(*)::text from crm_deal_stage_log where deal_id not in (select id from crm_deal)")
            .await,
        "0"
    );
}

#[tokio::test]
async fn only_who_may_set_up_the_crm_changes_pipelines_and_stages() {
    let office = Office::open().await;
    let stage = office.stage("New").await;
    let pipeline = office.text("select id::text from crm_pipeline").await;
    for mailbox in ["manager", "sales1"] {
        let user = office.user(mailbox).await;
        for (resource, new) in [
            ("pipelines", json!({ "name": "Mine" })),
            ("stages", json!({ "pipeline_id": pipeline, "name": "Mine", "position": 9, "probability": 1 })),
            ("lost_reasons", json!({ "name": "Mine" })),
        ] {
            let path = format!("/api/v1/{resource}");
            let row = format!("{path}/{}", user.rows(&path).await[0]["id"].as_str().unwrap());
            for answer in [user.post(&path, new.clone()).await, user.patch(&row, new).await, user.delete(&row).await] {
                assert_eq!(answer.problem(403)["hint"], "It needs the permission `crm.settings`.");
            }
        }
    }
    let admin = office.user("admin").await;
    let second = made(admin.post("/api/v1/pipelines", json!({ "name": "Second", "is_default": true })).await);
    let defaults = admin.rows("/api/v1/pipelines?is_default=is.true").await;
    assert_eq!(defaults.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&json!(second)], "one default");
    let mut said = String::new();
    for (path, patch) in [
        (format!("pipelines/{second}"), json!({ "active": false })),
        (format!("stages/{stage}"), json!({ "kind": "won", "probability": 100 })),
        (format!("stages/{stage}"), json!({ "pipeline_id": second })),
        (format!("stages/{stage}"), json!({ "position": 2 })),
        (format!("stages/{stage}"), json!({ "requires": ["amount", "colour"] })),
        (format!("stages/{}", office.stage("Won").await), json!({ "probability": 90 })),
        (format!("stages/{}", Uuid::now_v7()), json!({ "position": 2 })),
    ] {
        said.push_str(&refusal(&admin.patch(&format!("/api/v1/{path}"), patch).await));
        said.push('\n');
    }
    said.push_str(&refusal(&admin.delete(&format!("/api/v1/stages/{stage}")).await));
    assert_snapshot!(said, @r"
    422 validation_failed: 2 fields need attention.
      #/active invalid_value: must stay active while it is the default pipeline
      #/is_default invalid_value: must stay active while it is the default pipeline
    409 in_use: A stage that holds deals keeps its kind and pipeline.
      #/kind in_use: A stage that holds deals keeps its kind and pipeline.
    409 in_use: A stage that holds deals keeps its kind and pipeline.
      #/kind in_use: A stage that holds deals keeps its kind and pipeline.
    409 conflict: pipeline_id, position is already taken by another stage of this pipeline.
      #/pipeline_id already_used: is already taken by another stage of this pipeline
      #/position already_used: is already taken by another stage of this pipeline
    422 validation_failed: 1 field needs attention.
      #/requires invalid_value: may name amount, expected_close, contact_id and organization_id
    422 validation_failed: 2 fields need attention.
      #/kind invalid_value: must be 100 in a won stage and 0 in a lost one
      #/probability invalid_value: must be 100 in a won stage and 0 in a lost one
    404 not_found: There is nothing here under this address.
    409 conflict: This record is still used by deals.
    ");
}
