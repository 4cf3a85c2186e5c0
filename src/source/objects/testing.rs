//! Parquet objects for tests, as OpenObserve's: a timestamp, a text, and the original size in the footer.

use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// A row: timestamp and body.
pub type Row = (i64, String);

/// An object with these rows, `group` of them in a row group.
pub fn parquet(rows: &[Row], group: usize) -> Vec<u8> {
    let schema =
        "message s { required int64 _timestamp; optional binary body (UTF8); optional binary service_name (UTF8); }";
    let size: usize = rows.iter().map(|(_, body)| body.len() + 20).sum();
    let mut writer = writer(schema, size);
    for rows in rows.chunks(group.max(1)) {
        let times: Vec<i64> = rows.iter().map(|(ts, _)| *ts).collect();
        let bodies: Vec<ByteArray> = rows.iter().map(|(_, body)| body.as_str().into()).collect();
        let services: Vec<ByteArray> = rows.iter().map(|_| "shop".into()).collect();
        let present = vec![1i16; rows.len()];
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
        column.close().unwrap();
        for texts in [&bodies, &services] {
            let mut column = group.next_column().unwrap().unwrap();
            column
                .typed::<ByteArrayType>()
                .write_batch(texts, Some(&present), None)
                .unwrap();
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// A writer of rows of `schema`, which were that large once.
pub fn writer(schema: &str, original_size: usize) -> SerializedFileWriter<Vec<u8>> {
    let size = KeyValue::new("original_size".to_string(), original_size.to_string());
    let properties = WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_key_value_metadata(Some(vec![size]))
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap()
}
