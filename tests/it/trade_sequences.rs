//! Whatever a trading company does, in whatever order: stock, orders, open items, events and the ledger agree.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use super::crm_story::made;
use super::trade_story::{Company, act, refused};
use super::world::{Answer, User};

/// What a company may do; numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Open { bin: usize, item: usize, qty: u32, cost: u32 },
    Adjust { bin: usize, item: usize, qty: i32 },
    Count { bin: usize, item: usize, counted: u32 },
    Move { from: usize, to: usize, item: usize, qty: u32 },
    Order { lines: Vec<(usize, u32)> },
    Confirm { order: usize, backorder: bool },
    Reserve { order: usize },
    Cancel { order: usize },
    Ship { order: usize, short: u32 },
    GiveUp { order: usize },
    Deliver { shipment: usize },
    Return { shipment: usize, qty: u32, way: usize },
    Invoice { shipment: usize },
    Credit { invoice: usize, qty: u32 },
    Pay { amount: u32 },
    Settle { payment: usize, item: usize, amount: u32 },
    TakeBack { payment: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let at = any::<usize>;
    let step = prop_oneof![
        2 => (at(), at(), 1..40_u32, 1..900_u32).prop_map(|(bin, item, qty, cost)| Step::Open { bin, item, qty, cost }),
        1 => (at(), at(), -9..9_i32).prop_map(|(bin, item, qty)| Step::Adjust { bin, item, qty }),
        1 => (at(), at(), 0..40_u32).prop_map(|(bin, item, counted)| Step::Count { bin, item, counted }),
        1 => (at(), at(), at(), 1..9_u32).prop_map(|(from, to, item, qty)| Step::Move { from, to, item, qty }),
        3 => vec((at(), 1..9_u32), 1..4).prop_map(|lines| Step::Order { lines }),
        5 => (at(), any::<bool>()).prop_map(|(order, backorder)| Step::Confirm { order, backorder }),
        2 => at().prop_map(|order| Step::Reserve { order }),
        1 => at().prop_map(|order| Step::Cancel { order }),
        6 => (at(), 0..3_u32).prop_map(|(order, short)| Step::Ship { order, short }),
        2 => at().prop_map(|order| Step::GiveUp { order }),
        1 => at().prop_map(|shipment| Step::Deliver { shipment }),
        2 => (at(), 1..4_u32, at()).prop_map(|(shipment, qty, way)| Step::Return { shipment, qty, way }),
        3 => at().prop_map(|shipment| Step::Invoice { shipment }),
        2 => (at(), 1..4_u32).prop_map(|(invoice, qty)| Step::Credit { invoice, qty }),
        1 => (1..3000_u32).prop_map(|amount| Step::Pay { amount }),
        3 => (at(), at(), 1..900_u32).prop_map(|(payment, item, amount)| Step::Settle { payment, item, amount }),
        1 => at().prop_map(|payment| Step::TakeBack { payment }),
    ];
    vec(step, 320)
}

/// One of what there is; nothing when there is nothing.
fn one(all: &[String], at: usize) -> Option<&String> {
    all.get(at % all.len().max(1))
}

/// A company that trades three products and keeps books of it.
struct Trade<'c> {
    company: &'c Company,
    owner: User<'c>,
    place: String,
    customer: String,
    items: Vec<String>,
    /// Two to sell from, one for goods that came back broken.
    bins: Vec<String>,
    orders: Vec<String>,
    shipments: Vec<String>,
    invoices: Vec<String>,
    payments: Vec<String>,
}

impl<'c> Trade<'c> {
    async fn open(company: &'c Company) -> Self {
        let staff = company.world.staff().await;
        let tenant = company.world.tenant_id("testcompany").await;
        for module in ["sales", "finance"] {
            staff.put(&format!("/api/v1/tenants/{tenant}/modules/{module}")).await.ok();
        }
        let owner = company.user("owner").await;
        let waiting = "select coalesce(string_agg(id::text, ','), '') from fin_period p
            where exists (select from fin_v_unposted u where p.span @> u.occurred_on)";
        for period in company.text(waiting).await.split(',') {
            act(&owner, "periods", period, "post_events", json!({})).await.ok();
        }
        let (mut items, mut bins) = (Vec::new(), Vec::new());
        for sku in ["SEQ-1", "SEQ-2", "SEQ-3"] {
            items.push(company.product(&owner, sku, "100", "GST18").await);
        }
        for code in ["STORE-01", "PICK-01", "QUAR-01"] {
            bins.push(company.id("oms_bin", "code", code).await);
        }
        let place = company.id("sys_location", "code", "BLR").await;
        let customer = company.id("com_party", "code", "C-GREEN").await;
        let [orders, shipments, invoices, payments] = [const { Vec::new() }; 4];
        Self { company, owner, place, customer, items, bins, orders, shipments, invoices, payments }
    }

    async fn act(&self, resource: &str, id: &str, action: &str, input: Value) -> Answer {
        act(&self.owner, resource, id, action, input).await
    }

    async fn post(&self, resource: &str, body: Value) -> Answer {
        self.owner.post(&format!("/api/v1/{resource}"), body).await
    }

    /// The answer that says whether the step was possible; none when there was nothing to do it with.
    async fn play(&mut self, step: &Step) -> Option<Answer> {
        match step {
            Step::Open { bin, item, .. }
            | Step::Adjust { bin, item, .. }
            | Step::Count { bin, item, .. }
            | Step::Move { from: bin, item, .. } => self.stock(step, *bin, *item).await,
            Step::Order { lines } => self.order(lines).await,
            Step::Confirm { order, .. }
            | Step::Reserve { order }
            | Step::Cancel { order }
            | Step::Ship { order, .. }
            | Step::GiveUp { order } => self.fulfil(step, *order).await,
            Step::Deliver { shipment } => {
                Some(self.act("shipments", one(&self.shipments, *shipment)?, "deliver", json!({})).await)
            }
            Step::Return { shipment, qty, way } => self.take_back_goods(*shipment, *qty, *way).await,
            Step::Invoice { shipment } => self.invoice(*shipment).await,
            Step::Credit { invoice, qty } => self.credit(*invoice, *qty).await,
            Step::Pay { .. } | Step::Settle { .. } | Step::TakeBack { .. } => self.money(step).await,
        }
    }

    async fn stock(&self, step: &Step, bin: usize, item: usize) -> Option<Answer> {
        let (bin, item) = (one(&self.bins, bin)?, one(&self.items, item)?);
        let (action, input) = match step {
            Step::Open { qty, cost, .. } => ("open", json!({ "qty": qty, "unit_cost": cost })),
            Step::Adjust { qty, .. } => ("adjust", json!({ "qty": qty, "note": "Found" })),
            Step::Count { counted, .. } => ("count", json!({ "counted": counted, "note": "Shelf" })),
            Step::Move { to, qty, .. } => ("transfer", json!({ "to_bin": one(&self.bins, *to)?, "qty": qty })),
            _ => return None,
        };
        let mut input = input;
        input["item_id"] = json!(item);
        Some(self.act("bins", bin, action, input).await)
    }

    async fn order(&mut self, lines: &[(usize, u32)]) -> Option<Answer> {
        let order = json!({ "location_id": self.place, "party_id": self.customer });
        let answer = self.post("orders", order).await;
        let order = made(answer);
        let mut last = None;
        for (n, (item, qty)) in (1..).zip(lines) {
            let item = one(&self.items, *item)?;
            let line = json!({ "order_id": order, "line_no": n, "item_id": item, "qty": qty, "unit_price": "99.95" });
            last = Some(self.post("order_lines", line).await);
        }
        self.orders.push(order);
        last
    }

    async fn fulfil(&mut self, step: &Step, order: usize) -> Option<Answer> {
        let order = one(&self.orders, order)?.clone();
        match step {
            Step::Confirm { backorder, .. } => {
                Some(self.act("orders", &order, "confirm", json!({ "allow_backorder": backorder })).await)
            }
            Step::Reserve { .. } => Some(self.act("orders", &order, "reserve", json!({})).await),
            Step::Cancel { .. } => Some(self.act("orders", &order, "cancel", json!({ "reason": "No" })).await),
            Step::Ship { short, .. } => {
                let shipment = match self.pick(&order, *short).await {
                    Ok(shipment) => shipment?,
                    Err(refusal) => return Some(refusal),
                };
                self.act("shipments", &shipment, "pack", json!({})).await.ok();
                let answer = self.act("shipments", &shipment, "ship", json!({})).await;
                self.shipments.push(shipment);
                Some(answer)
            }
            _ => match self.pick(&order, 0).await {
                Ok(shipment) => Some(self.act("shipments", &shipment?, "cancel", json!({})).await),
                Err(refusal) => Some(refusal),
            },
        }
    }

    /// A shipment with everything that is promised to an order; of each promise so many are not found. None when nothing is.
    async fn pick(&self, order: &str, short: u32) -> Result<Option<String>, Answer> {
        let shipment = self.post("shipments", json!({ "order_id": order, "location_id": self.place })).await;
        if !shipment.status.is_success() {
            return Err(shipment);
        }
        let shipment = made(shipment);
        let lines = format!("/api/v1/order_lines?order_id=eq.{order}&select=reservations(id,qty,state)");
        let mut picked = false;
        for line in self.owner.rows(&lines).await {
            for promise in line["reservations"].as_array().unwrap().iter().filter(|row| row["state"] == "reserved") {
                let qty = promise["qty"].as_str().unwrap().parse::<f64>().unwrap() as u32;
                let input = json!({ "shipment_id": shipment, "qty": qty.saturating_sub(short) });
                self.act("reservations", promise["id"].as_str().unwrap(), "pick", input).await.ok();
                picked |= qty > short;
            }
        }
        if !picked {
            self.act("shipments", &shipment, "cancel", json!({})).await.ok();
        }
        Ok(picked.then_some(shipment))
    }

    async fn take_back_goods(&self, shipment: usize, qty: u32, way: usize) -> Option<Answer> {
        let shipment = one(&self.shipments, shipment)?;
        let line =
            format!("select order_line_id from oms_reservation where shipment_id = '{shipment}' order by id limit 1");
        let line = self.company.text(&line).await;
        let asked = self.post("returns", json!({ "order_line_id": line, "qty": qty, "reason": "Broken" })).await;
        let asked = made(asked);
        let approved = self.act("returns", &asked, "approve", json!({})).await;
        if !approved.status.is_success() {
            return Some(approved);
        }
        let (way, bin) = [("restock", 0), ("quarantine", 2), ("scrap", 2)][way % 3];
        let input = json!({ "disposition": way, "bin_id": self.bins[bin] });
        Some(self.act("returns", &asked, "receive", input).await)
    }

    async fn invoice(&mut self, shipment: usize) -> Option<Answer> {
        let shipment = one(&self.shipments, shipment)?;
        let answer = self.act("shipments", shipment, "invoice", json!({})).await;
        if !answer.status.is_success() {
            return Some(answer);
        }
        let invoice = answer.json()["invoice_id"].as_str().unwrap().to_owned();
        let posted = self.act("invoices", &invoice, "post", json!({})).await;
        match posted.status.is_success() {
            true => self.invoices.push(invoice),
            // Otherwise the shipment could not be invoiced once more.
            false => {
                let gone = self.owner.delete(&format!("/api/v1/invoices/{invoice}")).await;
                assert_eq!(gone.status, 204, "{} {}", posted.text, gone.text);
            }
        }
        Some(posted)
    }

    async fn credit(&self, invoice: usize, qty: u32) -> Option<Answer> {
        let invoice = one(&self.invoices, invoice)?;
        let drafted = self.act("invoices", invoice, "credit", json!({ "reason": "Broken" })).await;
        if !drafted.status.is_success() {
            return Some(drafted);
        }
        let note = format!("select id from sls_invoice where against_id = '{invoice}' and state = 'draft'");
        let note = self.company.text(&note).await;
        let lines = self.owner.rows(&format!("/api/v1/invoice_lines?invoice_id=eq.{note}&order=line_no")).await;
        for (n, line) in lines.iter().enumerate() {
            let path = format!("/api/v1/invoice_lines/{}", line["id"].as_str().unwrap());
            match n {
                0 => drop(self.owner.patch(&path, json!({ "qty": qty })).await.ok()),
                _ => drop(self.owner.delete(&path).await),
            }
        }
        let posted = self.act("invoices", &note, "post", json!({})).await;
        if !posted.status.is_success() {
            let gone = self.owner.delete(&format!("/api/v1/invoices/{note}")).await;
            assert_eq!(gone.status, 204, "{} {}", posted.text, gone.text);
        }
        Some(posted)
    }

    async fn money(&mut self, step: &Step) -> Option<Answer> {
        match step {
            Step::Pay { amount } => {
                let new = json!({ "direction": "in", "party_id": self.customer, "location_id": self.place, "method": "cash", "amount": amount });
                let payment = made(self.post("payments", new).await);
                let posted = self.act("payments", &payment, "post", json!({})).await;
                self.payments.push(payment);
                Some(posted)
            }
            Step::Settle { payment, item, amount } => {
                let dues = format!("/api/v1/open_items?party_id=eq.{}&side=eq.due&order=id&select=id", self.customer);
                let dues = self.owner.rows(&dues).await;
                let (payment, due) = (one(&self.payments, *payment)?, dues.get(item % dues.len().max(1))?);
                let new = json!({ "payment_id": payment, "open_item_id": due["id"], "amount": amount });
                Some(self.post("allocations", new).await)
            }
            Step::TakeBack { payment } => {
                let payment = one(&self.payments, *payment)?;
                Some(self.act("payments", payment, "reverse", json!({ "reason": "Bounced" })).await)
            }
            _ => None,
        }
    }
}

/// Rows that must not be there, and what of two things they show to disagree.
const DISAGREEMENTS: [(&str, &str); 12] = [
    ("lines of orders and what is promised and shipped", "select l.id from oms_order_line l cross join lateral (
        select coalesce(sum(qty) filter (where state in ('reserved', 'picked')), 0) as promised,
          coalesce(sum(qty) filter (where state = 'shipped'), 0) as shipped,
          coalesce(sum(qty) filter (where state = 'shipped' and shipment_id in (
            select id from oms_shipment where invoice_id is not null)), 0) as invoiced
        from oms_reservation where order_line_id = l.id) r
      where (l.qty_reserved, l.qty_shipped, l.qty_invoiced) <> (r.promised, r.shipped, r.invoiced)"),
    ("lines of orders and what came back", "select l.id from oms_order_line l where qty_returned <> (
        select coalesce(sum(qty), 0) from oms_return where order_line_id = l.id and state = 'received')"),
    ("orders and their states", "select o.id from oms_order o where state in ('cancelled', 'shipped', 'delivered') and exists (
        select from oms_order_line where order_id = o.id and (qty_open > 0 or qty_reserved > 0))"),
    ("items and allocations", "select i.id from com_open_item i where settled <> (
        select coalesce(sum(amount), 0) from com_allocation where i.id in (open_item_id, credit_item_id))"),
    ("payments and allocations", "select p.id from com_payment p where allocated <> (
        select coalesce(sum(amount), 0) from com_allocation where payment_id = p.id)"),
    ("invoices and open items", "select v.id from sls_invoice v left join com_open_item i on i.doc_id = v.id
        where state = 'posted' and (i.amount is distinct from v.total or (i.side = 'due') <> (v.kind = 'invoice'))"),
    ("records and events", "select f.id from (
          select id, 'oms.order.confirmed' as event, number is not null as there from oms_order
          union all select id, 'oms.shipment.shipped', state in ('shipped', 'delivered') from oms_shipment
          union all select id, 'oms.return.received', state = 'received' from oms_return
          union all select id, 'sales.' || kind || '.posted', state = 'posted' from sls_invoice
          union all select id, 'payment.in.posted', state <> 'draft' from com_payment
          union all select id, 'payment.in.reversed', state = 'reversed' from com_payment
          union all select id, 'oms.stock.opened', reason = 'opening' from oms_stock_move
          union all select id, 'oms.stock.adjusted', reason = 'adjust' from oms_stock_move
          union all select id, 'oms.stock.counted', reason = 'count' from oms_stock_move) f
        where f.there <> exists (select from sys_event e where e.event = f.event and e.source_id = f.id)"),
    ("events and entries", "select e.seq from sys_event e left join fin_entry x on x.source_event = e.seq
        where e.lines <> '[]' and (x.id is null or x.state <> 'posted' or
          (select sum((l ->> 'debit')::numeric) from jsonb_array_elements(e.lines) l)
            is distinct from (select sum(debit) from fin_line where entry_id = x.id))"),
    ("debits and credits", "select entry_id from fin_line group by 1 having sum(debit) <> sum(credit)"),
    ("receivables of the ledger and open items", "select b.sum from (
          select coalesce(sum(debit - credit), 0) as sum from fin_line l join fin_account a on a.id = l.account_id
          where a.control = 'receivable') b,
        (select coalesce(sum(case side when 'due' then outstanding else -outstanding end), 0) as sum from com_open_item) i,
        (select coalesce(sum(unallocated), 0) as sum from com_payment where state = 'posted') p
        where b.sum <> i.sum - p.sum"),
    // The average cost of a balance has six decimals, an event two: each may be off by half a paisa.
    ("inventory of the ledger and stock", "select b.sum - s.sum from (
          select sum(debit - credit) as sum from fin_line l join fin_account a on a.id = l.account_id where a.code = '1200') b,
        (select sum(on_hand * avg_cost) as sum from oms_stock) s,
        (select count(*) as n from sys_event where event like 'oms.%' and lines <> '[]') e
        where abs(b.sum - s.sum) > 0.005 * e.n + 0.01"),
    ("numbers without a gap", "select series from (
          select left(number, -4) as series, right(number, 4)::int as n from (
            select number from oms_order union all select number from oms_shipment union all select number from oms_return
            union all select number from sls_invoice union all select number from com_payment) x where number is not null) y
        group by series having count(*) <> max(n)"),
];

impl Trade<'_> {
    async fn agrees(&self) {
        for (what, sql) in DISAGREEMENTS {
            let wrong = format!("select coalesce(string_agg(x.v::text, ', '), '') from ({sql}) x (v)");
            assert_eq!(self.company.text(&wrong).await, "", "{what}");
        }
        for report in ["stock_audit", "ledger_check"] {
            assert_eq!(self.owner.rows(&format!("/api/v1/reports/{report}")).await, Vec::<Value>::new(), "{report}");
        }
        let paise =
            |row: &Value, column: &str| (row[column].as_str().unwrap().parse::<f64>().unwrap() * 100.0).round() as i64;
        let sum = |rows: &[Value], column: &str| rows.iter().map(|row| paise(row, column)).sum::<i64>();
        let trial = self.owner.rows("/api/v1/reports/trial_balance?from=2000-01-01&to=2100-01-01").await;
        assert_eq!((sum(&trial, "closing"), sum(&trial, "debit")), (0, sum(&trial, "credit")), "the trial balance");
        let ageing = self.owner.rows("/api/v1/reports/ageing").await;
        let owed = "select (coalesce(sum(case side when 'due' then outstanding else -outstanding end), 0) * 100)::bigint from com_open_item";
        assert_eq!(sum(&ageing, "total").to_string(), self.company.text(owed).await, "the ageing");
    }
}

#[tokio::test]
async fn whatever_a_company_trades_its_books_agree() {
    let company = Company::with_stock().await;
    let mut trade = Trade::open(&company).await;
    trade.agrees().await;
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut done = BTreeMap::new();
    for (n, step) in steps().new_tree(&mut runner).unwrap().current().iter().enumerate() {
        let Some(answer) = trade.play(step).await else { continue };
        let kind = format!("{step:?}").split(' ').next().unwrap().to_owned();
        let (made, not) = done.entry(kind).or_insert((0, 0));
        if answer.status.is_success() {
            *made += 1;
        } else {
            *not += 1;
            let (status, code) = refused(&answer);
            assert!([409, 422].contains(&status) && code != "conflict", "{step:?}: {}", answer.text);
        }
        if n % 40 == 39 {
            trade.agrees().await;
        }
    }
    assert!(done.len() == 17 && done.values().all(|(made, _)| *made > 0), "{done:?}");
    trade.agrees().await;
}
