//! Parquet: a row an event, payload and metadata as their stored texts.

use super::EventWriter;
use super::folder::HashedFile;
use crate::error::ExportError;
use crate::event::StoredEvent;
use crate::{TOOL, TOOL_VERSION};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use std::sync::Arc;

/// What a row holds, in the words of Parquet.
pub const SCHEMA: &str = "message event {
  REQUIRED INT64 position;
  REQUIRED INT64 recorded_at (TIMESTAMP(MICROS,true));
  REQUIRED BYTE_ARRAY aggregate_type (STRING);
  REQUIRED BYTE_ARRAY aggregate_id (STRING);
  REQUIRED INT64 sequence;
  REQUIRED BYTE_ARRAY event_id (STRING);
  REQUIRED BYTE_ARRAY event_type (STRING);
  REQUIRED BYTE_ARRAY event_version (STRING);
  OPTIONAL BYTE_ARRAY actor (STRING);
  OPTIONAL BYTE_ARRAY tenant (STRING);
  OPTIONAL BYTE_ARRAY command_id (STRING);
  OPTIONAL BYTE_ARRAY correlation_id (STRING);
  OPTIONAL BYTE_ARRAY causation_id (STRING);
  OPTIONAL BYTE_ARRAY traceparent (STRING);
  REQUIRED BYTE_ARRAY payload (STRING);
  REQUIRED BYTE_ARRAY metadata (STRING);
}";

/// A row group ends after so many rows or bytes, whatever comes first: so much is held in memory.
const GROUP_ROWS_MAX: usize = 65_536;
const GROUP_BYTES_MAX: usize = 32 << 20;

/// A Parquet file under way.
pub(crate) struct ParquetFile {
    writer: SerializedFileWriter<HashedFile>,
    group: Vec<StoredEvent>,
    bytes: usize,
}

impl ParquetFile {
    pub(crate) fn new(file: HashedFile) -> Result<Self, ExportError> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(format!("{TOOL} {TOOL_VERSION}"))
            .build();
        let writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        Ok(Self { writer, group: Vec::new(), bytes: 0 })
    }

    fn end_group(&mut self) -> Result<(), ExportError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.group);
        self.bytes = 0;
        let mut columns = Columns(self.writer.next_row_group()?);
        columns.numbers(events.iter().map(|event| event.position))?;
        columns.numbers(events.iter().map(|event| event.recorded_at.timestamp_micros()))?;
        columns.texts(events.iter().map(|event| event.aggregate_type.as_str()))?;
        columns.texts(events.iter().map(|event| event.aggregate_id.as_str()))?;
        columns.numbers(events.iter().map(|event| event.sequence))?;
        let ids: Vec<String> = events.iter().map(|event| event.event_id.to_string()).collect();
        columns.texts(ids.iter().map(String::as_str))?;
        columns.texts(events.iter().map(|event| event.event_type.as_str()))?;
        columns.texts(events.iter().map(|event| event.event_version.as_str()))?;
        let known: Vec<_> = events.iter().map(StoredEvent::known).collect();
        for name in ["actor", "tenant", "command_id", "correlation_id", "causation_id", "traceparent"] {
            columns.texts_where_known(known.iter().map(|known| known.text(name)))?;
        }
        columns.texts(events.iter().map(|event| event.payload.as_str()))?;
        columns.texts(events.iter().map(|event| event.metadata.as_str()))?;
        columns.0.close()?;
        Ok(())
    }
}

/// Writes the columns of a row group, one after the other in the schema's order.
struct Columns<'a>(SerializedRowGroupWriter<'a, HashedFile>);

impl Columns<'_> {
    fn numbers(&mut self, values: impl Iterator<Item = i64>) -> Result<(), ExportError> {
        let values: Vec<i64> = values.collect();
        let Some(mut column) = self.0.next_column()? else { return Err(too_few()) };
        column.typed::<Int64Type>().write_batch(&values, None, None)?;
        Ok(column.close()?)
    }

    fn texts<'t>(&mut self, values: impl Iterator<Item = &'t str>) -> Result<(), ExportError> {
        let values: Vec<ByteArray> = values.map(ByteArray::from).collect();
        let Some(mut column) = self.0.next_column()? else { return Err(too_few()) };
        column.typed::<ByteArrayType>().write_batch(&values, None, None)?;
        Ok(column.close()?)
    }

    fn texts_where_known<'t>(&mut self, values: impl Iterator<Item = Option<&'t str>>) -> Result<(), ExportError> {
        let (mut levels, mut known) = (Vec::new(), Vec::new());
        for value in values {
            levels.push(i16::from(value.is_some()));
            known.extend(value.map(ByteArray::from));
        }
        let Some(mut column) = self.0.next_column()? else { return Err(too_few()) };
        column.typed::<ByteArrayType>().write_batch(&known, Some(&levels), None)?;
        Ok(column.close()?)
    }
}

fn too_few() -> ExportError {
    parquet::errors::ParquetError::General("the schema has fewer columns than are written".to_owned()).into()
}

impl EventWriter for ParquetFile {
    fn write(&mut self, event: &StoredEvent) -> Result<(), ExportError> {
        self.bytes += event.bytes();
        self.group.push(event.clone());
        if self.group.len() >= GROUP_ROWS_MAX || self.bytes >= GROUP_BYTES_MAX {
            self.end_group()?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<HashedFile, ExportError> {
        self.end_group()?;
        Ok(self.writer.into_inner()?)
    }
}
