//! Adding many rows at once through COPY: for rows of which none is there yet, a third of the work of an INSERT.

use sqlx::encode::IsNull;
use sqlx::postgres::PgArgumentBuffer;
use sqlx::{Encode, PgConnection, Postgres};

/// Fewer rows than this are inserted: a COPY is parsed anew each time.
pub(crate) const COPY_ROWS_MIN: usize = 200;

/// What every binary COPY begins with: the signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
const LENGTH_BYTES: usize = 4;
/// The version byte of `jsonb` on the wire.
const JSONB_VERSION: u8 = 1;

/// The statement that takes rows in the binary format.
pub(crate) fn copy_sql(table: &str, columns: &[(&str, &str)]) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", names.join(", "))
}

/// Rows on their way into a table, encoded.
pub(crate) struct Copying {
    buffer: PgArgumentBuffer,
    columns: i16,
}

impl Copying {
    /// None yet.
    pub fn new(columns: usize) -> Self {
        let mut buffer = PgArgumentBuffer::default();
        buffer.extend_from_slice(HEADER);
        Self { buffer, columns: columns as i16 }
    }

    /// Begins a row.
    pub fn row(&mut self) {
        self.buffer.extend_from_slice(&self.columns.to_be_bytes());
    }

    /// The row's next column; `jsonb` comes as text.
    pub fn column<'q, T: Encode<'q, Postgres>>(&mut self, kind: &str, value: T) -> Result<(), sqlx::Error> {
        let at = self.buffer.len();
        self.buffer.extend_from_slice(&[0; LENGTH_BYTES]);
        if kind == "jsonb" {
            self.buffer.push(JSONB_VERSION);
        }
        let is_null = value.encode(&mut self.buffer).map_err(sqlx::Error::Encode)?;
        let length = match is_null {
            IsNull::Yes => {
                self.buffer.truncate(at + LENGTH_BYTES);
                -1
            }
            IsNull::No => i32::try_from(self.buffer.len() - at - LENGTH_BYTES)
                .map_err(|_| sqlx::Error::Encode("a value of 2 GB or more".into()))?,
        };
        self.buffer[at..at + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    /// Sends them.
    pub async fn send(mut self, db: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
        self.buffer.extend_from_slice(&TRAILER);
        let mut copy = db.copy_in_raw(sql).await?;
        copy.send(&self.buffer[..]).await?;
        copy.finish().await.map(drop)
    }
}
