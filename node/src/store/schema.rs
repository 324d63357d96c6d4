//! The tables, their versions, and the way from an older version to this one.
//!
//! | table   | key                              | value                                              |
//! | ------- | -------------------------------- | -------------------------------------------------- |
//! | log     | cursor of a message's first entry | the message                                       |
//! | heads   | the same cursor                  | what a restart needs of it, without the entries    |
//! | index   | message id                       | the same cursor                                    |
//! | dates   | (signed date, the same cursor)   | nothing; finds what falls below the low edge       |
//! | decided | (signed date, message id)        | nothing; decided without being in the log          |
//! | evidence | a rising number               | a proof of equivocation                            |
//! | evidence_index | author, sequence number | the same number                                    |
//! | meta    | a name                           | a number or the network id                         |
//! | archive | peer                             | address and date of the proof                      |
//! | anchors | rank                             | peer and address                                   |
//! | bans    | peer                             | until when                                         |
//!
//! `heads` is apart from `index` so that appending writes to the end of a table rather than to a random page of a large
//! one, and so that a restart reads some 90 bytes a message in order of cursor and none of the payloads.

use crypto::NetworkId;
use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    TableDefinition, TableError, WriteTransaction,
};

use super::error::Fault;
use super::rows::{self, BadRow, Head};

/// The schema this program writes.
///
/// 1: log, index, meta, archive, anchors, bans. 2: adds heads, dates and decided. 3: adds evidence.
pub const SCHEMA: u64 = 3;

pub(super) type Id = &'static [u8; 32];
pub(super) type Sealed = &'static [u8];

pub(super) const LOG: TableDefinition<'static, u64, Sealed> = TableDefinition::new("log");
pub(super) const HEADS: TableDefinition<'static, u64, Sealed> = TableDefinition::new("heads");
pub(super) const INDEX: TableDefinition<'static, Id, u64> = TableDefinition::new("index");
pub(super) const DATES: TableDefinition<'static, (u64, u64), ()> = TableDefinition::new("dates");
pub(super) const DECIDED: TableDefinition<'static, (u64, Id), ()> = TableDefinition::new("decided");
pub(super) const EVIDENCE: TableDefinition<'static, u64, Sealed> = TableDefinition::new("evidence");
pub(super) const EVIDENCE_INDEX: TableDefinition<'static, (Id, u64), u64> =
    TableDefinition::new("evidence_index");
pub(super) const META: TableDefinition<'static, &str, Sealed> = TableDefinition::new("meta");
pub(super) const ARCHIVE: TableDefinition<'static, Id, Sealed> = TableDefinition::new("archive");
pub(super) const ANCHORS: TableDefinition<'static, u8, Sealed> = TableDefinition::new("anchors");
pub(super) const BANS: TableDefinition<'static, Id, Sealed> = TableDefinition::new("bans");

/// Names in `meta`.
pub(super) mod name {
    pub(in super::super) const SCHEMA: &str = "schema";
    pub(in super::super) const NETWORK: &str = "network";
    pub(in super::super) const NEXT_CURSOR: &str = "next_cursor";
    pub(in super::super) const NEXT_SEQ: &str = "next_seq";
    pub(in super::super) const RECORD_VERSION: &str = "record_version";
    pub(in super::super) const LOW_EDGE: &str = "low_edge_ms";
}

/// Puts the table's name to what is wrong with one of its rows.
pub(super) fn bad(table: &'static str) -> impl Fn(BadRow) -> Fault {
    move |BadRow(what)| Fault::Row(format!("a row of table `{table}`: {what}"))
}

/// A transaction that is on the disk when its commit returns. Nothing weaker is used anywhere: weaker settings have
/// lost committed rows to a killed process.
pub(super) fn begin(db: &Database) -> Result<WriteTransaction, Fault> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// What a store says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) schema: u64,
    pub(super) network: Option<NetworkId>,
}

/// `None` when nothing was ever written.
pub(super) fn about(db: &Database) -> Result<Option<About>, Fault> {
    let read = db.begin_read()?;
    let Some(schema) = number(&read, name::SCHEMA)? else {
        return Ok(None);
    };
    let meta = read.open_table(META)?;
    let network = match meta.get(name::NETWORK)? {
        Some(row) => Some(NetworkId::from_bytes(
            rows::decode_id(row.value()).map_err(bad("meta"))?,
        )),
        None => None,
    };
    Ok(Some(About { schema, network }))
}

/// A number of `meta`.
pub(super) fn number(read: &ReadTransaction, name: &str) -> Result<Option<u64>, Fault> {
    let meta = match read.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let row = meta.get(name)?;
    row.map(|row| rows::decode_number(row.value()).map_err(bad("meta")))
        .transpose()
}

/// Makes the tables of an empty store.
pub(super) fn create(db: &Database, network: Option<&NetworkId>) -> Result<(), Fault> {
    let write = begin(db)?;
    open_all(&write)?;
    {
        let mut meta = write.open_table(META)?;
        meta.insert(name::SCHEMA, rows::encode_number(SCHEMA).as_slice())?;
        if let Some(network) = network {
            meta.insert(
                name::NETWORK,
                rows::encode_id(network.as_bytes()).as_slice(),
            )?;
        }
    }
    write.commit()?;
    Ok(())
}

fn open_all(write: &WriteTransaction) -> Result<(), Fault> {
    write.open_table(LOG)?;
    write.open_table(HEADS)?;
    write.open_table(INDEX)?;
    write.open_table(DATES)?;
    write.open_table(DECIDED)?;
    write.open_table(EVIDENCE)?;
    write.open_table(EVIDENCE_INDEX)?;
    write.open_table(META)?;
    write.open_table(ARCHIVE)?;
    write.open_table(ANCHORS)?;
    write.open_table(BANS)?;
    Ok(())
}

/// Brings a store of schema `from` (below [`SCHEMA`]) up to this one, in one transaction: after a crash on the way it is
/// still the old one, whole. Downgrades are refused by the version check of an older program.
pub(super) fn migrate(db: &Database, from: u64) -> Result<(), Fault> {
    let write = begin(db)?;
    match from {
        1 => one_to_two(&write)?,
        2 => {}
        _ => return Err(Fault::Row(format!("schema version {from} never existed"))),
    }
    // What came after version 2 is new tables only.
    open_all(&write)?;
    write
        .open_table(META)?
        .insert(name::SCHEMA, rows::encode_number(SCHEMA).as_slice())?;
    write.commit()?;
    Ok(())
}

/// Version 1 had the payloads and the index only, so that a restart read the whole log and a decided message could come
/// back. Heads and dates follow from the log; what was decided before is not known and is judged anew once.
fn one_to_two(write: &WriteTransaction) -> Result<(), Fault> {
    open_all(write)?;
    let log = write.open_table(LOG)?;
    let mut heads = write.open_table(HEADS)?;
    let mut dates = write.open_table(DATES)?;
    for item in log.iter()? {
        let (cursor, row) = item?;
        let cursor = cursor.value();
        let message = rows::decode_message(cursor, row.value()).map_err(bad("log"))?;
        let head = Head::of(&message, row.value());
        heads.insert(cursor, head.encode().as_slice())?;
        dates.insert((head.published_unix_ms, cursor), ())?;
    }
    Ok(())
}
