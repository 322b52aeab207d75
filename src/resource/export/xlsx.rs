//! Workbooks. A workbook is a ZIP file whose parts are known only at its end, so it is written to a temporary file, row
//! by row, and read from there.

use std::io::{Seek, SeekFrom};

use jiff::civil::{Date, DateTime};
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::{Export, Heading};
use crate::db::Failure;
use crate::error::{Error, Result};
use crate::pack::Kind;

/// Rows of a sheet below its header; the format's limit is 1,048,576 with it.
const SHEET_ROWS: u32 = 1_048_575;
/// Rows that wait for the writer.
const WAITING: usize = 256;
/// Excel counts in binary floating point: more digits would be lost.
const EXACT_DIGITS: usize = 15;
/// Characters of a cell at most; a longer text ends with an ellipsis.
const CELL_CHARS: usize = 32_767;

type Cells = Vec<Option<String>>;

/// Takes all rows of an export; gives the file, at its beginning.
pub async fn write(export: &mut Export) -> Result<tokio::fs::File> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let headings = export.headings.clone();
    let writer = spawn_blocking(move || workbook(&headings, receiver));
    while let Some(row) = export.next().await? {
        let cells: Cells = (0..row.len()).map(|at| row.try_get(at)).collect::<Result<_, _>>().map_err(Failure::from)?;
        if sender.send(cells).await.is_err() {
            break;
        }
    }
    drop(sender);
    let file = writer.await.map_err(Error::internal)?.map_err(Error::internal)?;
    Ok(tokio::fs::File::from_std(file))
}

fn workbook(headings: &[Heading], mut rows: mpsc::Receiver<Cells>) -> Result<std::fs::File, XlsxError> {
    let styles = Styles::new();
    let mut workbook = Workbook::new();
    let mut pending = rows.blocking_recv();
    loop {
        let sheet = workbook.add_worksheet_with_constant_memory()?;
        for (column, heading) in (0..).zip(headings) {
            sheet.set_column_width(column, 18)?;
            sheet.write_string_with_format(0, column, &*heading.name, &styles.header)?;
        }
        let mut number = 1;
        while number <= SHEET_ROWS {
            let Some(cells) = pending.take() else { break };
            for ((column, heading), value) in (0..).zip(headings).zip(&cells) {
                cell(sheet, number, column, heading.kind, value.as_deref(), &styles)?;
            }
            number += 1;
            pending = rows.blocking_recv();
        }
        if pending.is_none() {
            break;
        }
    }
    let mut file = tempfile::tempfile()?;
    workbook.save_to_writer(&file)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

struct Styles {
    header: Format,
    date: Format,
    moment: Format,
}

impl Styles {
    fn new() -> Self {
        Self {
            header: Format::new().set_bold(),
            date: Format::new().set_num_format("yyyy-mm-dd"),
            moment: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
        }
    }
}

/// Numbers and dates as such where the format can hold them exactly, else as text. Text is never a formula here.
fn cell(
    sheet: &mut Worksheet,
    row: u32,
    column: u16,
    kind: Kind,
    value: Option<&str>,
    styles: &Styles,
) -> Result<(), XlsxError> {
    let Some(text) = value else { return Ok(()) };
    match kind {
        Kind::Integer | Kind::Numeric if digits(text) <= EXACT_DIGITS => {
            if let Ok(number) = text.parse::<f64>() {
                return sheet.write_number(row, column, number).map(drop);
            }
        }
        Kind::Boolean => return sheet.write_boolean(row, column, text == "true").map(drop),
        Kind::Date => {
            if let Some(date) = text.parse::<Date>().ok().filter(|date| date.year() >= 1900) {
                return sheet.write_datetime_with_format(row, column, date, &styles.date).map(drop);
            }
        }
        Kind::Timestamp => {
            if let Some(moment) = text.parse::<DateTime>().ok().filter(|moment| moment.year() >= 1900) {
                return sheet.write_datetime_with_format(row, column, moment, &styles.moment).map(drop);
            }
        }
        _ => {}
    }
    if text.chars().count() <= CELL_CHARS {
        return sheet.write_string(row, column, text).map(drop);
    }
    let beginning: String = text.chars().take(CELL_CHARS - 1).chain(['…']).collect();
    sheet.write_string(row, column, beginning).map(drop)
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}
