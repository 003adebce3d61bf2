//! Questions to somebody who was asked too often within the hour: told in one message every ten minutes, as `pending` shows them.
//!
//! A question that is collected is an entry of a list, written in the commit that opens its record; the entries of one person and
//! time become one message, in the commit that removes them.
//!
//! Start reading at [`Engine::tell_collected`].

use crate::answers::record_of;
use crate::confirmation::record::{Copy, Record, State};
use crate::confirmation::texts::{self, Fill, text};
use crate::{Engine, Refusal};
use serde::{Deserialize, Serialize};
use squall_model::{Map, Timestamp};
use squall_store::{Batch, Entry, Op, Outgoing};
use std::collections::BTreeMap;

/// The list of the store that holds them.
const LIST: &str = "collected";
/// Entries that are read at once.
const PAGE: usize = 1_000;

/// What an entry says.
#[derive(Serialize, Deserialize)]
struct Collected {
    network: String,
    channel: String,
    confirmation: String,
}

/// The entry of a copy of a question.
pub(crate) fn op(record: &Record, copy: &Copy) -> Option<Op> {
    let at = copy.not_before?;
    let (network, channel) = (copy.place.network.clone(), copy.place.channel.clone());
    let confirmation = record.id.to_string();
    let key = format!("{:020}/{}/{confirmation}", at.micros(), copy.place.channel_id());
    let value = serde_json::to_string(&Collected { network, channel, confirmation }).ok()?;
    Some(Op::PutEntry(Box::new(Entry { list: LIST.into(), key, at, value })))
}

impl Engine {
    /// When the next of these messages is due.
    pub(crate) fn next_collected(&self) -> Result<Option<Timestamp>, Refusal> {
        Ok(self.store().entries(LIST, 1)?.first().map(|entry| entry.at))
    }

    /// Tells everybody whose time has come what was collected for them and still waits.
    pub(crate) async fn tell_collected(&self) -> Result<(), Refusal> {
        loop {
            let now = self.now();
            let mut entries = self.store().entries(LIST, PAGE)?;
            entries.retain(|entry| entry.at <= now);
            if entries.is_empty() {
                return Ok(());
            }
            let mut batch = Batch::new();
            let mut people: BTreeMap<(Timestamp, String, String), Vec<Record>> = BTreeMap::new();
            for entry in entries {
                batch.push(Op::DropEntry { list: LIST.into(), key: entry.key });
                let Ok(Collected { network, channel, confirmation }) = serde_json::from_str(&entry.value) else {
                    continue;
                };
                let Some(row) = self.store().confirmation(&confirmation)? else { continue };
                // One that cannot be read keeps nobody from the others.
                let Ok(record) = record_of(&row) else { continue };
                if record.state == State::Open && now < record.expires_at {
                    people.entry((entry.at, network, channel)).or_default().push(record);
                }
            }
            let networks: Vec<String> = people.keys().map(|(_, network, _)| network.clone()).collect();
            for ((at, network, channel), records) in people {
                let fills = [
                    ("rows", Fill::Text(texts::pending(&records, now))),
                    ("prefix", self.settings().prefix.clone().into()),
                ];
                let mut body = Map::new();
                body.insert("kind".into(), "confirmation".into());
                body.insert("message".into(), text("M27-collected", &fills).plain().into());
                batch.push(Op::Post(Box::new(Outgoing {
                    id: 0,
                    dedup: format!("collected/{network}/{channel}/{}", at.micros()),
                    network,
                    channel,
                    thread: None,
                    body: body.into(),
                    created: now,
                    not_before: now,
                    tries: 0,
                })));
            }
            self.inner.store.commit(batch).await?;
            networks.iter().for_each(|network| self.outbox(network).notify_one());
        }
    }
}
