//! Tables of numbers, by the crate `csv`: a row per sample.

use std::io::Write;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim, Writer};
use keras_spec::HostTensor;

use crate::answer::{Failure, Result};

/// The numbers in a file, `(rows, columns)` in float32. A first row with something else than numbers is a header.
pub(crate) fn read(path: &Path) -> Result<HostTensor> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .trim(Trim::All)
        .comment(Some(b'#'))
        .from_path(path)
        .map_err(|e| Failure::file(path, e))?;
    let (mut numbers, mut columns, mut rows) = (Vec::<f32>::new(), None, 0);
    for (i, record) in reader.records().enumerate() {
        let record = record.map_err(|e| Failure::file(path, e))?;
        match parse(&record) {
            Ok(row) => {
                columns = Some(row.len());
                rows += 1;
                numbers.extend(row);
            }
            Err(_) if i == 0 => {}
            Err(field) => {
                let line = record.position().map_or(i as u64 + 1, csv::Position::line);
                return Err(Failure::file(path, format!("line {line}: expected a number, found `{field}`")));
            }
        }
    }
    let Some(columns) = columns else { return Err(Failure::file(path, "no numbers")) };
    HostTensor::new([rows, columns], numbers).map_err(|e| Failure::file(path, e))
}

/// The numbers of a row, or the first field that is none.
fn parse(record: &StringRecord) -> Result<Vec<f32>, String> {
    record.iter().map(|field| field.parse().map_err(|_| field.to_owned())).collect()
}

/// Writes arrays side by side: a row per sample, columns `NAME_0`, `NAME_1`, …
pub(crate) fn write(out: impl Write, arrays: &[(String, HostTensor)]) -> Result<(), csv::Error> {
    let rows = arrays.iter().map(|(_, a)| a.shape().first().copied().unwrap_or(1)).max().unwrap_or(0);
    let columns: Vec<_> = arrays
        .iter()
        .map(|(name, array)| {
            let values = array.to_f64_vec();
            let width = values.len() / rows.max(1);
            (name, values, width, array.dtype())
        })
        .collect();
    let mut writer = Writer::from_writer(out);
    let names =
        columns.iter().flat_map(|(name, _, width, _)| (0..*width).map(move |i| format!("{name}_{i}")));
    writer.write_record(names)?;
    for row in 0..rows {
        let fields = columns.iter().flat_map(|(_, values, width, dtype)| {
            let text = move |x: &f64| match dtype {
                keras_spec::DType::F64 => x.to_string(),
                // As many digits as the number has, not those of its neighbour among the float64.
                d if d.is_float() => (*x as f32).to_string(),
                _ => x.to_string(),
            };
            values[row * width..(row + 1) * width].iter().map(text)
        });
        writer.write_record(fields)?;
    }
    writer.flush()?;
    Ok(())
}
